'use strict';
// Calls the original of a hooked method, which takes a callback or returns a promise, and gives the application exactly
// what it would get without the hook. The original may be a stub of the application's tests, or a wrapper.

const isThenable = (value) => typeof value?.then === 'function';

// Whether the class of drachtio-srf itself has this method: not the instance, not a subclass.
function isOfSrf(srf, name, method) {
  let last;
  for (let object = srf; object; object = Object.getPrototypeOf(object)) {
    if (Object.hasOwn(object, name)) last = object[name];
  }
  return last === method;
}

class Original {
  #srf;
  #method;
  #isOfSrf;

  constructor(srf, name, method) {
    this.#srf = srf;
    this.#method = method;
    this.#isOfSrf = isOfSrf(srf, name, method);
  }

  call(args) {
    return this.#method.apply(this.#srf, args);
  }

  // Calls it, and settled(err, result) once, before the application gets the result. `at`: the index of the callback in
  // `args`, which it changes.
  follow(args, at, settled) {
    let isSettled = false;
    const settle = (err, result) => {
      if (isSettled) return;
      isSettled = true;
      settled(err, result);
    };
    const callback = args[at];
    if (typeof callback === 'function') return this.#promise(this.#withCallback(args, at, settle, callback), settle);
    // drachtio-srf gets a callback: further messages of the same chunk may arrive before a promise calls its handlers
    if (this.#isOfSrf) return this.#promised(args, at, settle);
    try {
      return this.#promise(this.call(args), settle);
    } catch (err) {
      // a stub that calls back in any case
      if (err?.name !== 'TypeError' || this.#method.length <= at) throw err;
      return this.#promised(args, at, settle);
    }
  }

  #withCallback(args, at, settle, callback) {
    args[at] = (err, ...results) => {
      settle(err, results[0]);
      return callback(err, ...results);
    };
    return this.call(args);
  }

  // With a callback, drachtio-srf returns itself.
  #promised(args, at, settle) {
    let isCalled = false;
    let resolve, reject;
    const promise = new Promise((...both) => {
      [resolve, reject] = both;
    });
    const given = this.#withCallback(args, at, settle, (err, result) => {
      isCalled = true;
      if (err) reject(err);
      else resolve(result);
    });
    return given === this.#srf || isCalled ? promise : this.#promise(given, settle);
  }

  // What the original returned; the result of a promise is settled before the application gets it.
  #promise(given, settle) {
    if (!isThenable(given)) return given;
    return given.then(
      (result) => {
        settle(null, result);
        return result;
      },
      (err) => {
        settle(err ?? new Error('rejected without a reason'));
        throw err;
      }
    );
  }
}

module.exports = Original;
