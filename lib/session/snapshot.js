'use strict';
// A snapshot of the data object: what the engine last saw of it, property by property, so that a save serialises only what
// differs. Of a plain property the snapshot has a copy, of any other one the JSON text.

const codec = require('./codec');
const { NOT_PLAIN, beginCopies, copyOf, isSame } = require('./plain-copy');

// What the snapshot has of a property that is not plain.
class Opaque {
  // `text`: of an object with this property alone; undefined where JSON leaves it out
  constructor(text) {
    this.text = text;
  }

  // whether JSON leaves the property out
  get isAbsent() {
    return this.text === undefined;
  }
}

const only = (name, value) => {
  const object = {};
  codec.put(object, name, value);
  return object;
};

function opaqueOf(name, value) {
  const text = codec.encode(only(name, value));
  return new Opaque(text === '{}' ? undefined : text);
}

// What the snapshot has of a property.
function copyOfProperty(name, value) {
  const copy = isSpecial(name) ? NOT_PLAIN : copyOf(value);
  return copy === NOT_PLAIN ? opaqueOf(name, value) : copy;
}

// Not a name that plain data may have: JSON.stringify or an assignment treat it otherwise.
const isSpecial = (name) => name === 'toJSON' || name === '__proto__';

// What has changed since a snapshot: `set`, the JSON text of an object with the properties that differ, and `removed`, that
// of an array with the names of those that are gone; undefined where there are none.
class Patch {
  set = undefined;
  removed = undefined;
  // whether it sets all properties
  isWhole = false;
  // the changed properties as the next snapshot has them, and the names of those that are gone
  names = [];
  copies = [];
  goneNames = [];
  #opaque = 0;

  get isEmpty() {
    return this.set === undefined && this.removed === undefined;
  }

  // Adds a property that differs; it `wasKnown` to the engine.
  add(name, copy, wasKnown) {
    this.names.push(name);
    this.copies.push(copy);
    if (!(copy instanceof Opaque)) return;
    this.#opaque++;
    if (copy.isAbsent && wasKnown) this.goneNames.push(name);
  }

  // Writes the texts: of the properties of `object`, which has `count`.
  serialise(object, count) {
    const { names, copies, goneNames } = this;
    this.isWhole = names.length === count;
    const changed = this.isWhole && this.#opaque === 0 ? object : {};
    const texts = [];
    for (let i = 0; i < names.length; i++) {
      if (copies[i] instanceof Opaque) {
        if (!copies[i].isAbsent) texts.push(copies[i].text.slice(1, -1));
      } else if (changed !== object) codec.put(changed, names[i], object[names[i]]);
    }
    if (names.length > this.#opaque) {
      const text = codec.encode(changed);
      this.set = texts.length === 0 ? text : `{${text.slice(1, -1)},${texts.join(',')}}`;
    } else if (texts.length > 0) this.set = `{${texts.join(',')}}`;
    if (goneNames.length > 0) this.removed = JSON.stringify(goneNames.map(codec.escapedName));
  }
}

// of a property that the snapshot does not have
const ABSENT = Symbol('absent');

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
      const before = at < 0 ? ABSENT : this.#copies[at];
      if (at >= 0) {
        known++;
        if (!(before instanceof Opaque) && isSame(value, before)) continue;
      }
      const copy = copyOfProperty(name, value);
      if (copy instanceof Opaque && before instanceof Opaque && before.text === copy.text) continue;
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
      if (Object.hasOwn(object, name)) return;
      const copy = this.#copies[at];
      if (!(copy instanceof Opaque && copy.isAbsent)) patch.goneNames.push(name);
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
    for (let i = 0; i < names.length; i++) this.#set(names[i], copies[i]);
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
