'use strict';
// A JavaScript store of connect's shape that goes wrong as it is told: faults.get = 'throws' and so on.

const { EventEmitter } = require('node:events');

const FAULTS = {
  throws() {
    throw new Error('the store threw');
  },
  errors(act, callback) {
    setImmediate(callback, new Error('the store failed'));
  },
  'errors in the same turn'(act, callback) {
    callback(new Error('the store failed'));
  },
  'errors without an Error'(act, callback) {
    setImmediate(callback, 'just a text');
  },
  rejects() {
    return Promise.reject(new Error('the store rejected'));
  },
  'never calls back'() {},
  'calls back twice'(act, callback) {
    const value = act();
    setImmediate(callback, null, value);
    setImmediate(callback, null, value);
    setImmediate(callback, new Error('and once more'));
  },
  'calls back, then throws'(act, callback) {
    callback(null, act());
    throw new Error('the store threw after that');
  },
  'calls back in the same turn'(act, callback) {
    callback(null, act());
  },
  'answers with nonsense'(act, callback) {
    act();
    setImmediate(callback, null, 'nonsense');
  }
};

class FaultyStore extends EventEmitter {
  constructor() {
    super();
    this.entries = new Map();
    this.faults = {};
    this.errors = [];
    this.on('error', (err) => this.errors.push(err));
  }

  perform(method, act, callback) {
    const fault = FAULTS[this.faults[method]];
    return fault ? fault(act, callback) : void setImmediate(() => callback(null, act()));
  }

  get(sid, callback) {
    const read = () => (this.entries.has(sid) ? JSON.parse(this.entries.get(sid)) : undefined);
    return this.perform('get', read, callback);
  }

  set(sid, value, callback) {
    return this.perform('set', () => void this.entries.set(sid, JSON.stringify(value)), callback);
  }

  destroy(sid, callback) {
    return this.perform('destroy', () => void this.entries.delete(sid), callback);
  }
}

module.exports = { FAULTS: Object.keys(FAULTS), FaultyStore };
