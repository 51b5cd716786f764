'use strict';
// How slow this machine is right now. A deadline of a test is that of an idle machine, times that; what is right under a
// deadline on a slow machine is wrong under it on a fast one, so each is measured when it is needed.

// What calculate() takes on an idle machine, in ms.
const IDLE_MS = 10;
// A test that waits in vain must still fail.
const SLOWEST = 8;
// How long a measurement is used for, in ms.
const VALID_MS = 1000;
const STEPS = 8e6;

// Takes some time slices of the scheduler: longer on a slow processor, and while other processes use it too.
function calculate() {
  const begun = performance.now();
  let mixed = 1;
  for (let i = 0; i < STEPS; i++) mixed = Math.imul(mixed ^ (mixed >>> 15), i | 1);
  return { mixed, took: performance.now() - begun };
}

let last = { at: -Infinity, slowness: 1 };

// 1 on an idle machine, 2 where everything takes twice as long, and so on; at least what TEST_SLOWNESS says.
function slowness() {
  if (performance.now() - last.at < VALID_MS) return last.slowness;
  // the worst of a few: other processes come and go
  const took = Math.max(...[1, 2, 3].map(() => calculate().took));
  const found = Math.max(1, took / IDLE_MS, Number(process.env.TEST_SLOWNESS) || 1);
  last = { at: performance.now(), slowness: Math.min(SLOWEST, found) };
  return last.slowness;
}

// The time that `ms` on an idle machine come to on this one, in whole ms.
const scaled = (ms) => Math.ceil(ms * slowness());

// Whether more than that has passed since `begun`. The machine is measured only when it matters.
const isOver = (begun, ms) => Date.now() - begun > ms && Date.now() - begun > scaled(ms);

module.exports = { isOver, scaled, slowness };
