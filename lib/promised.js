'use strict';
// Both calling styles: with a callback, which never comes in the same turn; without one, giving a promise.

const asItIs = (value) => value;

// `start(done)` begins the operation; `read` turns what it gives into what the application gets.
function promised(callback, start, read = asItIs) {
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
  let later = true;
  start((err, value) => {
    let given;
    try {
      if (!err) given = read(value);
    } catch (thrown) {
      err = thrown;
    }
    if (later) process.nextTick(callback, err || null, given);
    else callback(err || null, given);
  });
  later = false;
  return undefined;
}

module.exports = promised;
