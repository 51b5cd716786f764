'use strict';
// The table of --against: the figures behind the rows of the quick table, for the build of this tree and for the other one.
// Process CPU is added, because calls/s depend on what else the machine does. A run starts the processes of the peers several
// times (`passes`), because two processes of one build differ too.

const { onOtherBuild } = require('./builds');
const { figure, table } = require('./tables');
const { find, main, net, over, p50, p99, processCpu, rate } = require('./figures');
const { median, ratio, tail } = require('./statistics');

// the share of runs in which two equal builds may be taken for different ones
const CHANCE = 0.01;

// the scenarios of one pass
function scenarios({ calls = [], memoryCalls = [], clients = [], infos = {}, growth = [], commands, srf = [] }) {
  return {
    srf: find(srf, { kind: 'UasCall', atOnce: 16 }),
    srfB2bua: find(srf, { kind: 'B2buaCall', atOnce: 16 }),
    at64: find(calls, { kind: 'UasCall', size: 1024, atOnce: 64 }),
    at1: find(calls, { kind: 'UasCall', size: 1024, atOnce: 1 }),
    inMemory: find(memoryCalls, { kind: 'UasCall', size: 300, atOnce: 64 }),
    pairs: find(clients, { objects: false, atOnce: 64 }),
    infos,
    commands,
    grown: (id) => growth.find((one) => one.id === id)
  };
}

const less = (what, rounds) => ({ what, rounds, isBetter: (value) => value < 1 });
const more = (what, rounds) => ({ what, rounds, isBetter: (value) => value > 1 });

// the same on drachtio-srf
function srfRows(name, id, scenario) {
  return [
    less(`${name}: main-thread CPU per call, more than with a \`Map\`, µs`, (pass, of) =>
      over(scenario(pass), of(id), 'srf-map', 'mainCpu')
    ),
    less(`${name}: garbage collections per call, µs`, (pass, of) =>
      scenario(pass)[of(id)]?.map(({ collections }) => collections)
    )
  ];
}

// `rounds(pass, of)`: the figures of one pass, or undefined; `of(id)` is the id of a peer on the build that is meant
const ROWS = [
  ...['memory', 'redis'].flatMap((store) => [
    ...srfRows(`drachtio-srf, ${store}`, `srf-${store}`, ({ srf }) => srf),
    ...srfRows(`drachtio-srf, B2BUA, ${store}`, `srf-${store}`, ({ srfB2bua }) => srfB2bua)
  ]),
  less('main-thread CPU per call, µs net', ({ at64 }, of) => net(at64, of('redis'))),
  more('calls/s', ({ at64 }, of) => rate(at64, of('redis'))),
  less('process CPU per call, µs', ({ at64 }, of) => processCpu(at64, of('redis'))),
  less('p99 of a call, ms', ({ at64 }, of) => p99(at64, of('redis'))),
  less('bare `set` + `get`, main-thread CPU per operation, µs', ({ pairs }, of) => main(pairs, of('store-uncached'))),
  less('one call at a time, median latency, ms', ({ at1 }, of) => p50(at1, of('redis'))),
  less(
    'reads sent to Redis in an ordinary call',
    ({ commands }, of) => commands && [commands[of('redis')].UasCall.reads]
  ),
  less('memory per session in the memory store, bytes', ({ grown }, of) => weights(grown(of('memory')))),
  less('main-thread CPU per call beside 1 M live sessions, RedisStore, µs', ({ grown }, of) =>
    many(grown(of('redis')))
  ),
  less('the same, MemoryStore', ({ grown }, of) => many(grown(of('memory')))),
  less('INFO that changes one of 16 properties of 8 KB, main-thread CPU, RedisStore, µs net', ({ infos }, of) =>
    net(infos, of('redis'))
  ),
  less('the same, MemoryStore', ({ infos }, of) => net(infos, of('memory'))),
  more('calls/s, MemoryStore, 300 bytes', ({ inMemory }, of) => rate(inMemory, of('memory'))),
  less('process CPU per call, MemoryStore, 300 bytes, µs', ({ inMemory }, of) => processCpu(inMemory, of('memory')))
];

const weights = (found) => found && [found.weight.bytes];
const many = (found) => found && main(found, 'many');

// Whether the rounds tell two builds apart: the sign test.
function verdict(values, isBetter) {
  const differ = values.filter((value) => Number.isFinite(value) && value !== 1);
  if (differ.length === 0) return 'equal';
  const better = differ.filter(isBetter).length;
  const worse = differ.length - better;
  if (2 * tail(differ.length, Math.max(better, worse)) > CHANCE) return 'noise';
  return better > worse ? 'better' : 'worse';
}

function row(passes, { what, rounds, isBetter }) {
  const all = (of) => passes.flatMap((pass) => rounds(pass, of) ?? []);
  const [here, there] = [all((id) => id), all(onOtherBuild)];
  const values = here.map((value, round) => value / there[round]);
  const compared = ratio(here, there);
  const better = `${values.filter(isBetter).length} of ${values.length}`;
  const range = compared ? `**${figure(compared.median)}** (${figure(compared.low)}–${figure(compared.high)})` : '–';
  return [what, figure(median(there)), figure(median(here)), range, better, verdict(values, isBetter)];
}

// the results of each pass -> the table
function comparison(results) {
  const passes = results.map(scenarios);
  const measured = ROWS.filter(({ rounds }) => rounds(passes[0], (id) => id));
  const head = [
    '64 calls at once (drachtio-srf: 16), sessions of 1 KB',
    'other build',
    'this build',
    'ratio',
    'better in',
    ''
  ];
  return table(
    head,
    measured.map((one) => row(passes, one))
  );
}

module.exports = { comparison };
