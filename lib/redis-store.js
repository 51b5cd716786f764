'use strict';
// RedisStore: sessions in Redis, over connections that the native engine pools and drives.

const { NativeStore, optionsText } = require('./store');
const { Engine } = require('./engine');
const native = require('./native');

class RedisStore extends NativeStore {
  constructor(options = {}) {
    super(options, 'RedisStore');
    const text = optionsText(options);
    const engine = new Engine(this, (wake) => native.redisEngine(text, wake));
    // The process waits for the outcome of the first attempt to connect, then only for operations.
    engine.connecting = true;
    engine.hold();
  }

  quit(options, callback) {
    return this.close(options, callback);
  }
}

module.exports = RedisStore;
