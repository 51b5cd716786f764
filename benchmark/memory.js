'use strict';
// The memory of sessions and of open calls: the resident set of the process before and after, each after full collections.

const { UasCall } = require('./calls');
const { makeData } = require('./session-data');

const AT_ONCE = 256;

function residentBytes() {
  globalThis.gc();
  globalThis.gc();
  return process.memoryUsage().rss;
}

// Runs start(number, over) for each number below `count`, some at once; each in a new turn of the event loop, so that the
// stack does not grow.
function each(count, start) {
  return new Promise((resolve, reject) => {
    let begun = 0;
    let over = 0;
    const next = () => {
      if (begun < count) start(begun++, done);
    };
    const done = (err) => {
      if (err) return reject(err);
      if (++over === count) resolve();
      else setImmediate(next);
    };
    for (let i = 0; i < Math.min(AT_ONCE, count); i++) next();
  });
}

// Stores `count` sessions -> bytes per session of the process, and of the JSON text in it
async function fill(peer, { count, size, from = 0 }) {
  const make = makeData(size);
  const nameOf = (number) => `filled-${String(from + number).padStart(8, '0')}@a.example`;
  const before = residentBytes();
  await each(count, (number, over) => peer.put(nameOf(number), make(nameOf(number)), over));
  const data = JSON.stringify(make(nameOf(0))).length;
  return { bytes: (residentBytes() - before) / count, data };
}

// Opens `count` calls, as far as the ACK, and ends them -> bytes per open call, and of the process
async function openCalls(host, { count, size }) {
  const steps = Object.fromEntries(UasCall.methods.map((method) => [method, []]));
  const make = makeData(size);
  const overs = new Map();
  const calls = [];
  const before = residentBytes();
  await each(count, (number, over) => {
    const id = `open-${String(number).padStart(8, '0')}@a.example`;
    const call = new UasCall(host, id, make, steps, () => overs.get(call)());
    calls.push(call);
    call.open(over);
  });
  // this includes a little of the driver's own: the steps' times
  const after = residentBytes();
  await each(count, (number, over) => {
    overs.set(calls[number], over);
    calls[number].close();
  });
  if (calls.some(({ lost }) => lost)) throw new Error('calls read a session without its last change');
  return { bytes: (after - before) / count, total: after };
}

module.exports = { fill, openCalls };
