'use strict';
// Waits for what a test expects, and fails when that takes longer than it can on this machine.

const { setTimeout: sleep } = require('node:timers/promises');
const { isOver } = require('./machine');

const LOOK_MS = 5;
// Longer than anything takes on an idle machine that a test waits for.
const PATIENCE_MS = 15000;

const isTooLong = (begun) => isOver(begun, PATIENCE_MS);

// Waits until `check` gives something true, and gives that.
async function until(check, what) {
  for (const begun = Date.now(); !isTooLong(begun); await sleep(LOOK_MS)) {
    const found = await check();
    if (found) return found;
  }
  throw new Error(`waited in vain for ${what}`);
}

async function tooLate(what, signal) {
  const begun = Date.now();
  await sleep(PATIENCE_MS, null, { signal });
  while (!isTooLong(begun)) await sleep(PATIENCE_MS / 10, null, { signal });
  throw new Error(`waited in vain for ${what}`);
}

// A promise, but one that fails when it takes too long.
async function within(promise, what) {
  const ended = new AbortController();
  const late = tooLate(what, ended.signal);
  try {
    return await Promise.race([promise, late]);
  } finally {
    ended.abort();
    late.catch(() => undefined);
  }
}

module.exports = { until, within };
