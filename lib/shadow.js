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

function copyOfObject(object) {
  const copy = {};
  for (const key in object) {
    const value = key === 'toJSON' || key === '__proto__' ? NOT_PLAIN : copyOf(object[key]);
    if (value === NOT_PLAIN) return NOT_PLAIN;
    copy[key] = value;
  }
  return copy;
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

// Whether an object has the properties of its shadow still, and no others.
function isSame(object, shadow) {
  let more = 0;
  for (const key in object) {
    if (!Object.hasOwn(shadow, key) || !isSameValue(object[key], shadow[key])) return false;
    more++;
  }
  for (const _ in shadow) more--;
  return more === 0;
}

function isSameValue(value, shadow) {
  if (typeof shadow !== 'object' || shadow === null) return value === shadow;
  if (typeof value !== 'object' || value === null) return false;
  const proto = Object.getPrototypeOf(value);
  if (proto !== Object.getPrototypeOf(shadow)) return false;
  if (proto === Object.prototype) return isSame(value, shadow);
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
