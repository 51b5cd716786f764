'use strict';
// A patch: the top-level properties of the data object that differ from a snapshot, as the texts that the engine gets.

const codec = require('./codec');
const { NOT_PLAIN, copyOf } = require('./plain-copy');

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
  // JSON.stringify leaves it out, and would call it as a method of the object that is made here
  if (name === 'toJSON' && typeof value === 'function') return new Opaque(undefined);
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

const NONE = Object.freeze([]);

// What has changed since a snapshot: `set`, the JSON text of an object with the properties that differ, and `removed`, that
// of an array with the names of those that are gone; undefined where there are none.
class Patch {
  set = undefined;
  removed = undefined;
  // whether it sets all properties, so that its length is that of the session
  isWhole = false;
  // the changed properties as the next snapshot has them; the names of those that are gone, and of those that are gone and
  // that the engine does not have
  names = [];
  copies = [];
  goneNames = NONE;
  forgottenNames = NONE;
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
    if (copy.isAbsent && wasKnown) this.addGone(name, true);
  }

  // Adds a property that the object does not have any more; it `wasKnown` to the engine.
  addGone(name, wasKnown) {
    if (wasKnown) this.goneNames = [...this.goneNames, name];
    else this.forgottenNames = [...this.forgottenNames, name];
  }

  // Writes the texts: of the properties of `object`, which has `count`. Each of `texts` is that of an object without its
  // brackets, and not empty.
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

module.exports = { Opaque, Patch, copyOfProperty, opaqueOf };
