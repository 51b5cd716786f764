'use strict';
// The data object of a session: the application's properties, and besides them `mks` and save(), not enumerable.

const codec = require('./codec');

class SessionData {
  #mks;

  constructor(mks) {
    this.#mks = mks;
  }

  get mks() {
    return this.#mks;
  }

  save(options, callback) {
    return this.#mks.save(options, callback);
  }

  update(change, callback) {
    return this.#mks.update(change, callback);
  }
}

// Gives the data the properties of another object.
function fill(data, content) {
  Object.keys(content).forEach((key) => codec.put(data, key, content[key]));
}

// `session` of an object that has `mks`
const SESSION_OF_MKS = {
  get() {
    return this.mks.session;
  },
  set(content) {
    this.mks.session = content;
  },
  configurable: true,
  enumerable: false
};

// Gives any object `mks` and `session`.
function attach(object, mks) {
  Object.defineProperty(object, 'mks', { value: mks, configurable: true, writable: true, enumerable: false });
  Object.defineProperty(object, 'session', SESSION_OF_MKS);
}

module.exports = { SessionData, attach, fill };
