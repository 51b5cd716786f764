'use strict';
// A snapshot is a copy of plain data, which shows later whether the data has changed: a comparison takes far less time
// than writing the data as JSON again. Data is plain if a load makes the same data of its JSON text: JSON leaves out,
// replaces or converts nothing in it except Dates.

// How many values a snapshot has at most: larger or circular data is not called plain.
const MAX_VALUES = 1024;
let copied = 0;

const NOT_PLAIN = Symbol('not plain');

// The snapshot of an object, or undefined if it is not plain.
function snapshotOf(object) {
  copied = 0;
  const copy = copyOfObject(object);
  return copy === NOT_PLAIN ? undefined : copy;
}

function copyOf(value) {
  if (++copied > MAX_VALUES) return NOT_PLAIN;
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : NOT_PLAIN;
    case 'object':
      break;
    default:
      return NOT_PLAIN;
  }
  if (value === null) return null;
  const proto = Object.getPrototypeOf(value);
  if (proto === Object.prototype) return copyOfObject(value);
  if (proto === Array.prototype) return copyOfArray(value);
  return proto === Date.prototype && !Object.hasOwn(value, 'toJSON') ? new Date(value) : NOT_PLAIN;
}

// The names and values of an object's properties, in their order, so that a loop through the object meets them in turn.
class Properties {
  constructor(names, values) {
    this.names = names;
    this.values = values;
  }

  // Whether an object has exactly these properties, in any order.
  areOf(object) {
    const { names, values } = this;
    let count = 0;
    for (const name in object) {
      const at = names[count] === name ? count : names.indexOf(name);
      if (at < 0 || !isSameValue(object[name], values[at])) return false;
      count++;
    }
    return count === names.length;
  }
}

function copyOfObject(object) {
  const names = [];
  const values = [];
  for (const name in object) {
    const value = name === 'toJSON' || name === '__proto__' ? NOT_PLAIN : copyOf(object[name]);
    if (value === NOT_PLAIN) return NOT_PLAIN;
    names.push(name);
    values.push(value);
  }
  return new Properties(names, values);
}

function copyOfArray(array) {
  if (Object.hasOwn(array, 'toJSON')) return NOT_PLAIN;
  const copy = [];
  for (let i = 0; i < array.length; i++) {
    const value = copyOf(array[i]);
    if (value === NOT_PLAIN) return NOT_PLAIN;
    copy.push(value);
  }
  return copy;
}

// Whether an object is equal to a snapshot.
const isSame = (object, snapshot) => snapshot.areOf(object);

function isSameValue(value, snapshot) {
  if (typeof snapshot !== 'object' || snapshot === null) return value === snapshot;
  if (typeof value !== 'object' || value === null) return false;
  const proto = Object.getPrototypeOf(value);
  if (snapshot instanceof Properties) return proto === Object.prototype && snapshot.areOf(value);
  if (proto !== Object.getPrototypeOf(snapshot)) return false;
  if (Object.hasOwn(value, 'toJSON')) return false;
  // JSON writes each invalid Date as null
  if (proto === Date.prototype) return Object.is(value.getTime(), snapshot.getTime());
  if (value.length !== snapshot.length) return false;
  for (let i = 0; i < snapshot.length; i++) {
    if (!isSameValue(value[i], snapshot[i])) return false;
  }
  return true;
}

module.exports = { isSame, snapshotOf };
