'use strict';
// Load: keeps a number of calls or operations going at once for some ms, and returns what each cost.

const { monitorEventLoopDelay } = require('node:perf_hooks');
const { promisify } = require('node:util');
const { startClock } = require('./cpu-clock');
const { InfoCall } = require('./info-call');
const { makeData, makeProperties } = require('./session-data');
const { sorted, percentile } = require('./statistics');

const DELAY_RESOLUTION_MS = 1;

// Call-IDs differ between runs and between processes
let run = 0;

const percentiles = (values) => {
  const inOrder = sorted(values);
  return { p50: percentile(inOrder, 50), p99: percentile(inOrder, 99) };
};

// `start(over)` begins one call, which calls `over` at its end; the next one begins then, until the time is up.
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
    // the timer itself waits this long
    loopDelayP99: Math.max(0, delay.percentile(99) / 1e6 - DELAY_RESOLUTION_MS)
  };
}

// Calls of one kind -> their cost per call (µs of CPU), and the latencies of the call and of each step (ms)
async function runCalls({ host, Kind, atOnce, size, ms }) {
  const make = makeData(size);
  const nextId = callIds();
  const steps = stepsOf(Kind);
  const whole = [];
  let lost = 0;
  const cost = await measured(atOnce, ms, (over) => {
    const begun = performance.now();
    const ended = () => {
      whole.push(performance.now() - begun);
      if (call.lost) lost++;
      over();
    };
    const call = new Kind(host, nextId(), make, steps, ended);
    call.begin();
  });
  const latency = { call: percentiles(whole) };
  for (const [method, values] of Object.entries(steps)) latency[method] = percentiles(values);
  return { ...cost, lost, latency };
}

// INFO requests in `atOnce` established dialogs, each of which changes one property of its session -> their cost per INFO
async function runInfos({ host, atOnce, size, properties, ms }) {
  const make = makeProperties(size, properties);
  const nextId = callIds();
  const steps = stepsOf(InfoCall);
  const calls = Array.from({ length: atOnce }, () => new InfoCall(host, nextId(), make, steps));
  const all = (step) => Promise.all(calls.map((call) => promisify(step)(call)));
  await all((call, opened) => call.open(opened));
  const idle = [...calls];
  const cost = await measured(atOnce, ms, (informed) => {
    const call = idle.pop();
    call.inform(() => {
      idle.push(call);
      informed();
    });
  });
  await all((call, closed) => {
    call.over = closed;
    call.close();
  });
  return { ...cost, lost: calls.filter(({ lost }) => lost).length, latency: { INFO: percentiles(steps.INFO) } };
}

// a function that returns a new Call-ID each time
function callIds() {
  const prefix = `${process.pid}-${++run}`;
  let number = 0;
  return () => `${prefix}-${String(++number).padStart(8, '0')}@a.example`;
}

// by method, the latencies of its steps
const stepsOf = (Kind) => Object.fromEntries(Kind.methods.map((method) => [method, []]));

// Pairs of set and get, each awaited -> their cost per operation (µs of CPU), and the latency of a pair (ms)
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
    latency: { pair: percentiles(latencies) }
  };
}

module.exports = { runCalls, runInfos, runPairs };
