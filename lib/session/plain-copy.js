'use strict';
// Copies of plain data, to see later whether it has changed: a fraction of the cost of serialising it. Plain is what its JSON
// text would come back as: primitives, objects and arrays of plain data, and Dates.

// values that are copied of one object: data with more, or data that refers back to itself, is not called plain
const MOST_VALUES = 1024;
let copied = 0;

// What is copied from now on is of another object.
function beginCopies() {
  copied = 0;
}

const NOT_PLAIN = Symbol('not plain');

function copyOf(value) {
  if (++copied > MOST_VALUES) return NOT_PLAIN;
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

// The names and the values of an object's properties, in the order in which a loop through the object meets them.
class Properties {
  constructor(names, values) {
    this.names = names;
    this.values = values;
  }

  // Whether an object has these properties, and no others, in whatever order.
  areOf(object) {
    const { names, values } = this;
    let count = 0;
    for (const name in object) {
      const at = names[count] === name ? count : names.indexOf(name);
      if (at < 0 || !isSame(object[name], values[at])) return false;
      count++;
    }
    return count === names.length;
  }
}

function copyOfObject(object) {
  if (Object.hasOwn(object, 'toJSON')) return NOT_PLAIN;
  const names = [];
  const values = [];
  for (const name in object) {
    const value = name === '__proto__' ? NOT_PLAIN : copyOf(object[name]);
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

// Whether a value is as it was when this copy was made; of what is not plain that is not known.
function isSame(value, copy) {
  if (typeof copy !== 'object' || copy === null) return value === copy;
  if (typeof value !== 'object' || value === null) return false;
  const proto = Object.getPrototypeOf(value);
  if (copy instanceof Properties) {
    return proto === Object.prototype && value.toJSON === undefined && copy.areOf(value);
  }
  if (proto !== Object.getPrototypeOf(copy) || Object.hasOwn(value, 'toJSON')) return false;
  // an invalid Date is written as null, as is any other invalid one
  if (proto === Date.prototype) return Object.is(value.getTime(), copy.getTime());
  if (value.length !== copy.length) return false;
  for (let i = 0; i < copy.length; i++) {
    if (!isSame(value[i], copy[i])) return false;
  }
  return true;
}

// Whether an object would come back from its JSON text as it is.
function isPlain(object) {
  beginCopies();
  return copyOfObject(object) !== NOT_PLAIN;
}

module.exports = { NOT_PLAIN, beginCopies, copyOf, isPlain, isSame };
