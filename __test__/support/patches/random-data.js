'use strict';
// Random properties of a data object: everything that JSON writes in a way of its own.

const { addClass } = require('../../..');
const { random } = require('../random');

class Tagged {
  constructor(data) {
    Object.assign(this, data);
  }
}
addClass(Tagged);

const NAMES = ['a', 'b', 'call', '7', '10', '__proto__', '@class', '@@class', 'value', 'save', 'mks', 'update'];
NAMES.push('x"q', 'constructor', 'toString', 'é\ud800');

// names that only the second writer sets
const THEIRS = ['w0', 'w1', 'w2', '3'];

const VALUES = {
  one: () => 1,
  number: (below) => below(3),
  NaN: () => NaN,
  '-0': () => -0,
  undefined: () => undefined,
  null: () => null,
  text: () => 'text',
  surrogate: () => '\ud800',
  function: () => () => 1,
  symbol: () => Symbol('x'),
  date: (below) => new Date(below(5)),
  'no date': () => new Date(NaN),
  instance: (below) => new Tagged({ v: below(3), at: new Date(1) }),
  'looks like an instance': () => ({ '@class': 'Tagged', value: { v: 1 } }),
  list: (below) => [1, undefined, below(3)],
  nested: (below) => ({ a: { b: [below(2), { c: 1 }] } }),
  frozen: (below) => Object.freeze({ f: below(2) }),
  map: () => new Map([[1, 2]]),
  '400 values': (below) => Array(400).fill(below(2)),
  'no prototype': (below) => Object.assign(Object.create(null), { n: below(2) }),
  toJSON: (below) => ({ v: below(3), toJSON: () => ({ t: 1 }) }),
  // it gives the same until the property is set again
  'hidden toJSON': (below, h = below(2)) => Object.defineProperty({ v: 1 }, 'toJSON', { value: () => ({ h }) })
};

// A toJSON of the data object that shows how often it was called on one text.
function ownToJSON() {
  return { ...this, seen: this.seen === undefined ? 'once' : 'twice' };
}

class RandomData {
  constructor(seed) {
    this.below = random(seed);
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  // [name, kind, value]
  property() {
    const kind = this.pick(Object.keys(VALUES));
    return [this.pick(NAMES), kind, VALUES[kind](this.below)];
  }
}

// Sets a property, whatever the name.
function put(object, name, value) {
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}

module.exports = { NAMES, RandomData, THEIRS, ownToJSON, put };
