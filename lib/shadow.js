'use strict';
// A copy of plain data, to see later whether the data has changed: many times cheaper than to write it as JSON again.
// Plain is what its JSON text would come back as: nothing in it is left out, replaced or made anew, but Dates.

// How many values are copied: what has more, or refers back to itself, is not called plain.
const MOST = 1024;
let copied = 0;

const NOT_PLAIN = Symbol('not plain');

// A copy of the properties of an object, or undefined if one of them is not plain.
function shadowOf(object) {
  copied = 0;
  const copy = copyOfObject(object);
  return copy === NOT_PLAIN ? undefined : copy;
}

function copyOf(value) {
  if (++copied > MOST) return NOT_PLAIN;
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

// The names and the values of an object's properties, in their order: a loop through the object meets them one by one.
class Properties {
  constructor(names, values) {
    this.names = names;
    this.values = values;
  }

  // Whether an object has these still, and no others, in whatever order.
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

// Whether an object is as it was when this shadow was made.
const isSame = (object, shadow) => shadow.areOf(object);

function isSameValue(value, shadow) {
  if (typeof shadow !== 'object' || shadow === null) return value === shadow;
  if (typeof value !== 'object' || value === null) return false;
  const proto = Object.getPrototypeOf(value);
  if (shadow instanceof Properties) return proto === Object.prototype && shadow.areOf(value);
  if (proto !== Object.getPrototypeOf(shadow)) return false;
  if (Object.hasOwn(value, 'toJSON')) return false;
  // an invalid Date is written as null, as is any other invalid one
  if (proto === Date.prototype) return Object.is(value.getTime(), shadow.getTime());
  if (value.length !== shadow.length) return false;
  for (let i = 0; i < shadow.length; i++) {
    if (!isSameValue(value[i], shadow[i])) return false;
  }
  return true;
}

module.exports = { isSame, shadowOf };
