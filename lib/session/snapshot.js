'use strict';
// A snapshot of the data object: what the engine last saw of it, property by property, so that a save serialises only what
// differs. Of a plain property the snapshot has a copy, of any other one the JSON text.

const { Opaque, Patch, copyOfProperty, opaqueOf } = require('./patch');
const { beginCopies, isSame } = require('./plain-copy');

// in place of the text of a property that must be sent
const UNKNOWN = Symbol('unknown');

// A copy that is plain now may have been too much to copy before: of what is not plain only the text tells.
const isUnchanged = (name, value, before) =>
  before instanceof Opaque ? opaqueOf(name, value).text === before.text : isSame(value, before);

class Snapshot {
  #names = [];
  #copies = [];

  static of(object) {
    const snapshot = new Snapshot();
    beginCopies();
    for (const name of Object.keys(object)) snapshot.#put(name, object[name]);
    return snapshot;
  }

  // Whether an object is certainly as it was: not if there is something in it that is not plain.
  isOf(object) {
    const names = this.#names;
    let count = 0;
    for (const name in object) {
      const at = names[count] === name ? count : names.indexOf(name);
      if (at < 0 || !isSame(object[name], this.#copies[at])) return false;
      count++;
    }
    return count === names.length;
  }

  // What has changed in an object; undefined if nothing has.
  patchOf(object) {
    beginCopies();
    let patch;
    let count = 0;
    let known = 0;
    for (const name in object) {
      const at = this.#names[count] === name ? count : this.#names.indexOf(name);
      if (at < 0 && !Object.hasOwn(object, name)) continue;
      count++;
      const value = object[name];
      if (at >= 0) {
        known++;
        if (isUnchanged(name, value, this.#copies[at])) continue;
      }
      const copy = copyOfProperty(name, value);
      (patch ??= new Patch()).add(name, copy, at >= 0);
    }
    if (known < this.#names.length) patch = this.#withGone(patch ?? new Patch(), object);
    if (patch === undefined) return undefined;
    patch.serialise(object, count);
    if (!patch.isEmpty) return patch;
    // only what JSON leaves out: the engine need not know
    this.apply(patch);
    return undefined;
  }

  // The properties that an object does not have any more, and that the engine has.
  #withGone(patch, object) {
    this.#names.forEach((name, at) => {
      if (Object.prototype.propertyIsEnumerable.call(object, name)) return;
      const copy = this.#copies[at];
      patch.addGone(name, !(copy instanceof Opaque && copy.isAbsent));
    });
    return patch;
  }

  // Whether every property is plain.
  get isPlain() {
    return !this.#copies.some((copy) => copy instanceof Opaque);
  }

  // The engine has got this patch.
  apply(patch) {
    const { names, copies } = patch;
    if (this.#names.length === 0) {
      this.#names = names;
      this.#copies = copies;
      return;
    }
    patch.goneNames.forEach((name) => this.#delete(name));
    patch.forgottenNames.forEach((name) => this.#delete(name));
    for (let i = 0; i < names.length; i++) this.#set(names[i], copies[i]);
  }

  // The engine may have other values of what a patch changes: the properties differ, whatever they are set to.
  forget(patch) {
    for (const name of [...patch.names, ...patch.goneNames]) this.#set(name, new Opaque(UNKNOWN));
  }

  // The engine has given these properties of an object, and removed others.
  update(object, names, removed) {
    beginCopies();
    removed.forEach((name) => this.#delete(name));
    names.forEach((name) => this.#put(name, object[name]));
  }

  #put(name, value) {
    this.#set(name, copyOfProperty(name, value));
  }

  #set(name, copy) {
    const at = this.#names.indexOf(name);
    if (at < 0) {
      this.#names.push(name);
      this.#copies.push(copy);
    } else this.#copies[at] = copy;
  }

  #delete(name) {
    const at = this.#names.indexOf(name);
    if (at < 0) return;
    this.#names.splice(at, 1);
    this.#copies.splice(at, 1);
  }
}

module.exports = { Snapshot };
