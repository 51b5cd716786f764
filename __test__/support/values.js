'use strict';
// a value of each kind that JSON has
const VALUES = {
  text: 'x',
  empty: '',
  number: -1.5e-7,
  zero: 0,
  yes: true,
  no: false,
  list: [1, [null], {}],
  map: { a: {} }
};

module.exports = { VALUES };
