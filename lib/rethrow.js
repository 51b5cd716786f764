'use strict';
// An error that a callback of the application has thrown is the process's, as with any callback; it must not stop what else
// is to be done in this turn.

function rethrow(err) {
  process.nextTick(() => {
    throw err;
  });
}

module.exports = rethrow;
