'use strict';
// Both calling styles of public methods: with a callback, which never comes in the same turn; without one, a promise.

const identity = (value) => value;

// `start(done)` begins the operation; `read` converts its result into what the application gets.
function callbackOrPromise(callback, start, read = identity) {
  if (typeof callback !== 'function') {
    return new Promise((resolve, reject) => {
      start((err, value) => {
        if (err) return reject(err);
        try {
          resolve(read(value));
        } catch (thrown) {
          reject(thrown);
        }
      });
    });
  }
  let inSameTurn = true;
  start((err, value) => {
    let result;
    try {
      if (!err) result = read(value);
    } catch (thrown) {
      err = thrown;
    }
    if (inSameTurn) process.nextTick(callback, err || null, result);
    else callback(err || null, result);
  });
  inSameTurn = false;
  return undefined;
}

module.exports = callbackOrPromise;
