'use strict';
// MemoryStore, the embedded default: sessions in this process, gone when it ends.

const native = require('../native');
const NativeStore = require('./native-store');

let warned = false;

class MemoryStore extends NativeStore {
  constructor(options = {}) {
    super('MemoryStore', options, (text) => native.memoryEngine(text));
    // only a bounded store emits events: `evict`
    this.engine.emitsEvents = options.max !== undefined;
  }

  // Warns once that this store is not for production.
  warn() {
    if (warned || process.env.NODE_ENV !== 'production') return;
    warned = true;
    console.warn(
      'drachtio-session: MemoryStore is for one process: sessions are gone when it ends, and another process does not ' +
        'see them. Use RedisStore in production.'
    );
  }
}

module.exports = MemoryStore;
