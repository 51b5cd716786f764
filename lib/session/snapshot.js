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

// What has changed since a snapshot: `set`, the JSON text of an object with the properties that differ, and `removed`, that
// of an array with the names of those that are gone; undefined where there are none.
class Patch {
  set = undefined;
  removed = undefined;
  // whether all properties are set
  isWhole = false;
  // the changed properties as the next snapshot has them
  names = [];
  copies = [];
  goneNames = [];

  get isEmpty() {
    return this.set === undefined && this.removed === undefined;
  }
}

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

  // What has changed in an object.
  patchOf(object) {
    beginCopies();
    const patch = new Patch();
    const names = Object.keys(object);
    const texts = [];
    let plain = 0;
    let known = 0;
    for (let i = 0; i < names.length; i++) {
      const name = names[i];
      const value = object[name];
      const at = this.#names[i] === name ? i : this.#names.indexOf(name);
      const before = at < 0 ? undefined : this.#copies[at];
      if (at >= 0) known++;
      if (at >= 0 && !(before instanceof Opaque) && isSame(value, before)) continue;
      let copy = isSpecial(name) ? NOT_PLAIN : copyOf(value);
      if (copy === NOT_PLAIN) {
        copy = opaqueOf(name, value);
        if (before instanceof Opaque && before.text === copy.text) continue;
        if (!copy.isAbsent) texts.push(copy.text.slice(1, -1));
        else if (at >= 0) patch.goneNames.push(name);
      } else plain++;
      patch.names.push(name);
      patch.copies.push(copy);
    }
    patch.isWhole = patch.names.length === names.length;
    if (plain > 0) {
      const changed = plain === names.length ? object : plainOf(object, patch);
      texts.unshift(codec.encode(changed).slice(1, -1));
    }
    if (texts.length > 0) patch.set = `{${texts.join(',')}}`;
    if (known < this.#names.length) this.#addGone(patch, object);
    if (patch.goneNames.length > 0) patch.removed = JSON.stringify(patch.goneNames.map(codec.escapedName));
    return patch;
  }

  // The properties that an object does not have any more, and that the engine has.
  #addGone(patch, object) {
    this.#names.forEach((name, at) => {
      if (Object.hasOwn(object, name)) return;
      const copy = this.#copies[at];
      if (!(copy instanceof Opaque && copy.isAbsent)) patch.goneNames.push(name);
    });
  }

  // The engine has got this patch.
  apply(patch) {
    const { names, copies } = patch;
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
    const copy = isSpecial(name) ? NOT_PLAIN : copyOf(value);
    this.#set(name, copy === NOT_PLAIN ? opaqueOf(name, value) : copy);
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

// Not a name that plain data may have: JSON.stringify or an assignment treat it otherwise.
const isSpecial = (name) => name === 'toJSON' || name === '__proto__';

// The changed properties of an object that are plain.
function plainOf(object, { names, copies }) {
  const changed = {};
  for (let i = 0; i < names.length; i++) {
    if (!(copies[i] instanceof Opaque)) codec.put(changed, names[i], object[names[i]]);
  }
  return changed;
}

module.exports = { Snapshot };
