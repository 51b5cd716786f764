'use strict';
// The time for which garbage collections stop the JavaScript thread.

const { PerformanceObserver } = require('node:perf_hooks');
const { setImmediate: nextTurn } = require('node:timers/promises');

// Counts the collections from now on -> stop(): a promise of their time in µs
function watchCollections() {
  let micros = 0;
  const add = (entries) => {
    for (const { duration } of entries) micros += duration * 1000;
  };
  const observer = new PerformanceObserver((list) => add(list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  return async () => {
    // Node queues the entry of a collection in the next turn of the event loop
    await nextTurn();
    await nextTurn();
    add(observer.takeRecords());
    observer.disconnect();
    return micros;
  };
}

module.exports = { watchCollections };
