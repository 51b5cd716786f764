'use strict';
// The sections of the page, a table for each measure, and the charts.

const charts = require('./charts');
const { find, net } = require('./figures');
const peers = require('./peers');
const { median } = require('./statistics');
const { figure, medianOf, table } = require('./tables');

const KINDS = { UasCall: 'INVITE, 200, ACK, BYE', B2buaCall: 'B2BUA: two legs and an INFO' };
const FLOOR = 'floor of ';
const title = (id) => (id.startsWith(FLOOR) ? `the floor of ${title(id.slice(FLOOR.length))}` : peers[id].title);
const bytes = (size) => (size < 1024 ? `${size} bytes` : `${size / 1024} KB`);
const micros = 'µs';

function calls(results, options) {
  return callTable(find(results.calls, options));
}

function callTable(found) {
  const rows = Object.entries(found).map(([id, rounds]) => [
    title(id),
    medianOf(rounds, (one) => one.perSecond),
    medianOf(
      net(found, id).map((value) => ({ value })),
      (one) => one.value
    ),
    medianOf(rounds, (one) => one.processCpu),
    medianOf(rounds, (one) => one.latency.call.p50),
    medianOf(rounds, (one) => one.latency.call.p99),
    medianOf(rounds, (one) => one.loopDelayP99)
  ]);
  const head = [
    '',
    'calls/s',
    `main thread, ${micros} net`,
    `process, ${micros}`,
    'p50, ms',
    'p99, ms',
    'loop delay p99, ms'
  ];
  return table(head, rows);
}

function stepTable(found) {
  const steps = Object.keys(Object.values(found)[0][0].latency).filter((step) => step !== 'call');
  const rows = Object.entries(found).map(([id, rounds]) => [
    title(id),
    ...steps.map((step) =>
      ['p50', 'p99'].map((share) => figure(median(rounds.map((one) => one.latency[step][share])))).join(' / ')
    )
  ]);
  return table(['p50 / p99, ms', ...steps], rows);
}

function everyCall(heading, list) {
  const parts = list.map(({ kind, size, atOnce, peers: found }) => {
    const steps = atOnce === 1 || atOnce === 64 ? `\n\n${stepTable(found)}` : '';
    const what = `${KINDS[kind]}; ${bytes(size)}; ${atOnce} at once`;
    return `<details><summary>${what}</summary>\n\n${callTable(found)}${steps}\n\n</details>`;
  });
  return `## ${heading}\n\n${parts.join('\n\n')}`;
}

const verbs = (counts) => Object.entries(counts).map(([verb, count]) => `${figure(count)} ${verb}`);

function onTheWire(results) {
  const at64 = find(results.calls, { kind: 'UasCall', size: 1024, atOnce: 64 });
  const rows = Object.entries(results.commands).map(([id, { UasCall, B2buaCall }]) => [
    title(id),
    verbs(UasCall.verbs).join(', '),
    B2buaCall ? verbs(B2buaCall.verbs).join(', ') : '–',
    medianOf(at64[id], (one) => one.server.bytesIn),
    medianOf(at64[id], (one) => one.server.bytesOut),
    medianOf(at64[id], (one) => one.server.cpu)
  ]);
  const head = [
    'per call, 1 KB',
    'commands',
    'commands, B2BUA',
    'bytes to Redis',
    'bytes from it',
    `CPU of Redis, ${micros}`
  ];
  return `## What Redis gets\n\n${table(head, rows)}`;
}

function lost({ calls: list }) {
  const rows = Object.keys(list[0].peers).map((id) => {
    const rounds = list.flatMap(({ peers: found }) => found[id] ?? []);
    const sum = (name) => rounds.reduce((total, round) => total + round[name], 0);
    return [title(id), figure(sum('lost')), sum('count').toLocaleString('en-US')];
  });
  return `## Lost changes

Calls whose handlers read a session without an earlier change, or found none. Classic loses some, because its checksum has 16
bits: a change that gives the same checksum is not saved, nor is a key that was added with it. Those calls count as calls in
the tables above. With any other peer, one lost change fails the run.

${table(['', 'lost', 'of calls'], rows)}`;
}

function clients({ clients: list }) {
  const parts = list.map(({ objects, atOnce, peers: found }) => {
    const rows = Object.entries(found).map(([id, rounds]) => [
      title(id),
      medianOf(rounds, (one) => one.perSecond),
      medianOf(rounds, (one) => one.mainCpu),
      medianOf(rounds, (one) => one.processCpu),
      medianOf(rounds, (one) => one.latency.pair.p99)
    ]);
    const head = ['', 'operations/s', `main thread, ${micros}`, `process, ${micros}`, 'p99 of a pair, ms'];
    const value = objects ? 'an object of 1 KB, written as JSON' : 'a text of 1 KB';
    return `### ${value}; ${atOnce} pairs at once\n\n${table(head, rows)}`;
  });
  return `## Bare \`set\` and \`get\`\n\n${parts.join('\n\n')}`;
}

function infos({ infos: found }) {
  const rows = Object.entries(found).map(([id, rounds]) => [
    title(id),
    medianOf(rounds, (one) => one.perSecond),
    medianOf(net(found, id), (value) => value),
    medianOf(rounds, (one) => one.processCpu),
    medianOf(rounds, (one) => one.latency.INFO.p99)
  ]);
  const head = ['', 'INFO/s', `main thread, ${micros} net`, `process, ${micros}`, 'p99, ms'];
  return `## Changes of a large session

INFO requests in 64 established dialogs; each changes one of the 16 properties of a session of 8 KB.

${table(head, rows)}`;
}

function floor({ floor: measured }) {
  if (!measured) return '## The floor\n\nNot measured: it needs Linux.';
  const rows = measured.results.flatMap(({ atOnce, peers: found }) =>
    Object.entries(found).map(([id, rounds]) => [
      `${title(id)}, ${atOnce} at once`,
      medianOf(rounds, (one) => one.perSecond),
      medianOf(rounds, (one) => one.mainCpu),
      medianOf(rounds, (one) => one.latency.call.p99)
    ])
  );
  const head = ['', 'calls/s', `main thread, ${micros}`, 'p99, ms'];
  const plain = Object.entries(measured.redisBenchmark).map(([pipeline, rates]) => [
    `redis-benchmark, 64 connections, pipeline of ${pipeline}`,
    ...['SET', 'GET', 'HGETALL'].map((verb) => figure(rates[verb]))
  ]);
  return `## The floor\n\n${table(head, rows)}\n\n${table(['requests/s, 1 KB', 'SET', 'GET', 'HGETALL'], plain)}`;
}

function memory(results) {
  const weighed = results.growth.filter(({ weight }) => weight);
  const stored = weighed.map(({ id, live, weight }) => [
    title(id),
    figure(live[1]),
    figure(weight.bytes),
    figure(weight.bytes / weight.data)
  ]);
  const open = Object.entries(results.openCalls).map(([id, { count, bytes: each, total }]) => [
    title(id),
    figure(count),
    figure(each),
    figure(total / 2 ** 20)
  ]);
  return `## Memory

${table(['stored in the process', 'sessions', 'bytes each', '× the data'], stored)}

${table(['calls that are open', 'calls', 'bytes each', 'process, MB'], open)}`;
}

function growth(results) {
  const rows = results.growth.map(({ id, live, few, many }) => [
    title(id),
    medianOf(few, (one) => one.mainCpu),
    medianOf(many, (one) => one.mainCpu),
    medianOf(few, (one) => one.perSecond),
    medianOf(many, (one) => one.perSecond),
    live.map(figure).join(' → ')
  ]);
  const head = [
    '',
    `${micros} with few`,
    `${micros} with many`,
    'calls/s with few',
    'calls/s with many',
    'live sessions'
  ];
  return `## Growth\n\n64 calls at once beside other live sessions; CPU of the main thread.\n\n${table(head, rows)}`;
}

function coldStart(results) {
  const rows = Object.entries(results.coldStart).map(([id, rounds]) => [title(id), medianOf(rounds, (ms) => ms)]);
  return `## Cold start\n\nFrom the first \`require\` to the first stored session.\n\n${table(['', 'ms'], rows)}`;
}

function all(results) {
  return [
    everyCall('Calls on Redis', results.calls),
    everyCall('Calls in memory', results.memoryCalls),
    onTheWire(results),
    lost(results),
    infos(results),
    clients(results),
    floor(results),
    memory(results),
    growth(results),
    coldStart(results)
  ];
}

// {name: SVG text}
function chartsOf(results) {
  const at64 = find(results.calls, { kind: 'UasCall', size: 1024, atOnce: 64 });
  const shown = Object.keys(at64).filter((id) => id !== 'driver');
  const cpu = shown.map((id) => {
    const value = median(net(at64, id));
    return { name: title(id), value, text: `${figure(value)} ${micros}` };
  });
  const over = results.calls.filter(({ kind, size }) => kind === 'UasCall' && size === 1024);
  over.sort((a, b) => a.atOnce - b.atOnce);
  const steps = over.map(({ atOnce }) => atOnce);
  const series = (read) =>
    shown.map((id) => ({
      name: title(id),
      values: over.map((one) => Number(median(one.peers[id].map(read)).toPrecision(4)))
    }));
  return {
    cpu: charts.bars('CPU of the main thread per call, 64 at once, 1 KB', `${micros} per call, less is better`, cpu),
    rate: charts.lines(
      'Calls per second, 1 KB',
      'calls/s',
      'calls at once',
      steps,
      series((one) => one.perSecond)
    ),
    p99: charts.lines(
      '99th percentile of a call, 1 KB',
      'ms',
      'calls at once',
      steps,
      series((one) => one.latency.call.p99)
    )
  };
}

module.exports = { all, calls, charts: chartsOf };
