'use strict';
// RedisStore: sessions in Redis. The native engine makes the connections and uses them.

const native = require('../native');
const NativeStore = require('./native-store');

class RedisStore extends NativeStore {
  constructor(options = {}) {
    super('RedisStore', options, (text, wake) => native.redisEngine(text, wake));
    // The first attempt to connect keeps the process alive until it succeeds or fails; later only operations do.
    this.engine.connecting = true;
    this.engine.ref();
  }

  quit(options, callback) {
    return this.close(options, callback);
  }
}

module.exports = RedisStore;
