'use strict';
// Both calling styles: with a callback, which never comes in the same turn; without one, giving a promise.

// `start(done)` begins the operation.
function promised(callback, start) {
  if (typeof callback !== 'function') {
    return new Promise((resolve, reject) => {
      start((err, value) => (err ? reject(err) : resolve(value)));
    });
  }
  let later = true;
  start((err, value) => (later ? process.nextTick(callback, err || null, value) : callback(err || null, value)));
  later = false;
  return undefined;
}

module.exports = promised;
