'use strict';
// A JavaScript store over a Map. Two of them over one Map are the stores of two processes.

const { EventEmitter } = require('node:events');

class MapStore extends EventEmitter {
  constructor(entries = new Map()) {
    super();
    this.entries = entries;
    this.errors = [];
    this.on('error', (err) => this.errors.push(err));
    // after how many writes one fails, and the next one that gets no answer; undefined for none
    this.failAfter = undefined;
    this.isSilent = false;
    // what set() was given, by name
    this.writes = [];
  }

  get(sid, callback) {
    const text = this.entries.get(sid);
    setImmediate(() => callback(null, text === undefined ? null : JSON.parse(text)));
  }

  set(sid, value, callback) {
    const text = JSON.stringify(value);
    this.writes.push([sid, text]);
    if (this.isSilent) {
      this.isSilent = false;
      return;
    }
    if (this.failAfter !== undefined && this.failAfter-- === 0) {
      this.failAfter = undefined;
      return void setImmediate(() => callback(new Error('the store refuses a write')));
    }
    this.entries.set(sid, text);
    setImmediate(() => callback(null));
  }

  destroy(sid, callback) {
    this.entries.delete(sid);
    setImmediate(() => callback(null));
  }

  // The data of a session as it is stored.
  data(mks) {
    const text = this.entries.get(mks.uuid);
    return text === undefined ? null : JSON.parse(text).session;
  }
}

module.exports = { MapStore };
