'use strict';
// MemoryStore, the embedded default: for one process, gone with it.

const { NativeStore, optionsText } = require('./store');
const { Engine } = require('./engine');
const native = require('./native');

let warned = false;

class MemoryStore extends NativeStore {
  constructor(options = {}) {
    super(options, 'MemoryStore');
    const text = optionsText(options);
    const engine = new Engine(this, () => native.memoryEngine(text));
    // only a bounded store has something to tell: what it drops
    engine.eventful = options.max !== undefined;
  }

  // Says once that this is not for production.
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
