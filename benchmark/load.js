'use strict';
// Load: keeps so many calls, or operations, going at once for so many ms, and says what they cost.

const { monitorEventLoopDelay } = require('node:perf_hooks');
const { startClock } = require('./cpu-clock');
const { makeData } = require('./session-data');
const { sorted, percentile } = require('./statistics');

const DELAY_RESOLUTION_MS = 1;

// ids differ between runs and between processes
let run = 0;

const told = (values) => {
  const inOrder = sorted(values);
  return { p50: percentile(inOrder, 50), p99: percentile(inOrder, 99) };
};

// `start(over)` begins one; it is called again for each that is over, until the time is up.
function keepGoing(atOnce, ms, start) {
  return new Promise((resolve) => {
    const end = performance.now() + ms;
    let going = 0;
    let done = 0;
    const over = () => {
      going--;
      done++;
      if (performance.now() < end) begin();
      else if (going === 0) resolve(done);
    };
    const begin = () => {
      going++;
      start(over);
    };
    for (let i = 0; i < atOnce; i++) begin();
  });
}

async function measured(atOnce, ms, start) {
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  delay.enable();
  const stop = startClock();
  const count = await keepGoing(atOnce, ms, start);
  const { seconds, mainCpu, processCpu } = stop();
  delay.disable();
  return {
    count,
    perSecond: count / seconds,
    mainCpu: mainCpu / count,
    processCpu: processCpu / count,
    // what the timer itself waits is no delay
    loopDelayP99: Math.max(0, delay.percentile(99) / 1e6 - DELAY_RESOLUTION_MS)
  };
}

// Calls of a kind of call -> their cost per call (µs of CPU), and latencies in ms of the call and of each step
async function runCalls({ host, Kind, atOnce, size, ms }) {
  const make = makeData(size);
  const prefix = `${process.pid}-${++run}`;
  const steps = Object.fromEntries(Kind.methods.map((method) => [method, []]));
  const whole = [];
  let number = 0;
  let lost = 0;
  const cost = await measured(atOnce, ms, (over) => {
    const begun = performance.now();
    const id = `${prefix}-${String(++number).padStart(8, '0')}@a.example`;
    const ended = () => {
      whole.push(performance.now() - begun);
      if (call.lost) lost++;
      over();
    };
    const call = new Kind(host, id, make, steps, ended);
    call.begin();
  });
  const latency = { call: told(whole) };
  for (const [method, values] of Object.entries(steps)) latency[method] = told(values);
  return { ...cost, lost, latency };
}

// Pairs of set and get, each awaited -> their cost per operation (µs of CPU)
async function runPairs({ client, value, atOnce, ms }) {
  let number = 0;
  const latencies = [];
  const pair = async (over) => {
    const begun = performance.now();
    const key = `pair-${++number % 1000}`;
    await client.set(key, value);
    const got = await client.get(key);
    if (got !== value && JSON.stringify(got) !== JSON.stringify(value)) throw new Error(`${key} did not come back`);
    latencies.push(performance.now() - begun);
    over();
  };
  const cost = await measured(atOnce, ms, pair);
  return {
    ...cost,
    perSecond: cost.perSecond * 2,
    mainCpu: cost.mainCpu / 2,
    processCpu: cost.processCpu / 2,
    latency: { pair: told(latencies) }
  };
}

module.exports = { runCalls, runPairs };
