'use strict';
// The channels of node:diagnostics_channel. Without a subscriber the module measures nothing.

const { channel } = require('node:diagnostics_channel');

// {store, kind, duration (ms), error}: an operation of the engine is done, or has failed
const operation = channel('drachtio-session:operation');
// {method, callId, duration (ms before the handler), degraded}: the application gets a message
const message = channel('drachtio-session:message');
// {store, stats}: what store.stats() gives, once a second while operations are pending
const stats = channel('drachtio-session:stats');
// {store, open}: the breaker opened or closed
const breaker = channel('drachtio-session:breaker');

// A callback that publishes how long the operation took.
function timed(store, kind, callback) {
  const start = performance.now();
  return (err, value) => {
    operation.publish({ store, kind, duration: performance.now() - start, error: err || undefined });
    callback(err, value);
  };
}

module.exports = { breaker, message, operation, stats, timed };
