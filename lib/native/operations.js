'use strict';
// The operations of the native engine, by the names that diagnostics give them.

const native = require('./index');

// Starts an operation. Each frequent one has a call of its own: V8 calls native functions that it does not know
// beforehand in a slower way.
function start(operation, engine, op, first, second, third, fourth, fifth, sixth) {
  switch (operation) {
    case 'load':
      return native.engineLoad(engine, op, first, second, third);
    case 'save':
      return native.engineSave(engine, op, first, second, third, fourth, fifth, sixth);
    case 'removeKey':
      return native.engineRemoveKey(engine, op, first, second, third, fourth, fifth);
    case 'get':
      return native.engineGet(engine, op, first);
    case 'set':
      // `fourth`: the value is a string, which the native engine writes as JSON
      return fourth
        ? native.engineSetString(engine, op, first, second, third)
        : native.engineSet(engine, op, first, second, third);
    default:
      return INFREQUENT[operation](engine, op, first, second, third, fourth, fifth);
  }
}

const INFREQUENT = {
  compareAndSet: native.engineCompareAndSet,
  destroy: native.engineDestroy,
  delete: native.engineDelete,
  touch: native.engineTouch,
  all: native.engineAll,
  ids: native.engineIds,
  length: native.engineLength,
  clear: native.engineClear,
  close: native.engineClose
};

module.exports = start;
