'use strict';
// Reports what no operation waits for: errors, as `error` events of the store or as a process warning, and statistics.

const debug = require('debug')('drachtio:session');
const diagnostics = require('../diagnostics');
const { ErrorCode } = require('./constants');

const STATS_EVERY = 1000; // ms

// Errors of the store's own state: each is reported once, until an operation succeeds.
const OF_STATE = new Set([
  ErrorCode.TIMEOUT,
  ErrorCode.STORE_UNAVAILABLE,
  ErrorCode.STORE_AUTH,
  ErrorCode.STORE_REFUSED,
  ErrorCode.STORE
]);

class Reports {
  #store;
  // the codes of OF_STATE that were reported, until an operation succeeds
  #reported = new Set();
  // whether the process was warned, because the store has no listener for `error`
  #warned = false;
  // when the statistics were published last
  #publishedAt = 0;

  constructor(store) {
    this.#store = store;
  }

  // whether an error of the store's state was reported and no operation has succeeded since
  get isDown() {
    return this.#reported.size > 0;
  }

  // The store works again: its next failure is reported.
  recovered() {
    this.#reported.clear();
  }

  error(err) {
    if (!err) return;
    debug('%s: %s', err.code, err.message);
    if (OF_STATE.has(err.code)) {
      if (this.#reported.has(err.code)) return;
      this.#reported.add(err.code);
    }
    if (this.#store.listenerCount?.('error') > 0) this.#store.emit('error', err);
    else if (!this.#warned) {
      this.#warned = true;
      process.emitWarning(`${err.message} (listen for 'error' on the store to get every such error)`, {
        type: 'SessionWarning',
        code: err.code
      });
    }
  }

  // Publishes the statistics, if the channel has a subscriber; `read()` gives them.
  statistics(read) {
    const now = performance.now();
    if (!diagnostics.stats.hasSubscribers || now - this.#publishedAt < STATS_EVERY) return;
    this.#publishedAt = now;
    diagnostics.stats.publish({ store: this.#store, stats: read() });
  }
}

module.exports = Reports;
