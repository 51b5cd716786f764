'use strict';
// The targets of drachtio-session: for each ratio the value that is asked, the aim beyond it, and the value measured.

const { find, main, net, over, p50, p99, rate } = require('./figures');
const { ratio, spread } = require('./statistics');

// `above` / `below`; undefined where one was not measured
const between = (above, below) => (above && below ? ratio(above, below) : undefined);

const more = (row) => ({ ...row, met: (value) => value >= row.least, aimed: (value) => value >= row.aim });
const less = (row) => ({ ...row, met: (value) => value <= row.least, aimed: (value) => value <= row.aim });

// a figure without a fixed target: --against compares it with another build
const plain = (row) => ({ ...row, verdict: 'see `--against`' });

function rows({ calls, memoryCalls, clients, floor, growth, commands, infos }) {
  const at64 = find(calls, { kind: 'UasCall', size: 1024, atOnce: 64 });
  const at1 = find(calls, { kind: 'UasCall', size: 1024, atOnce: 1 });
  const inMemory = find(memoryCalls, { kind: 'UasCall', size: 300, atOnce: 64 });
  const pairs = find(clients, { objects: false, atOnce: 64 });
  const floorAt64 = floor ? find(floor.results, { atOnce: 64 }) : {};
  const uncached = pairs['store-uncached'] ? 'store-uncached' : 'store';
  const reads = commands.redis.UasCall.reads;
  const weight = growth.find((one) => one.id === 'memory')?.weight;
  const grown = (id) => {
    const found = growth.find((one) => one.id === id);
    return found && between(main(found, 'many'), main(found, 'few'));
  };
  return [
    more({
      what: 'main-thread CPU per call, against classic on node-redis',
      unit: '× less',
      least: 8,
      aim: 12,
      value: between(net(at64, 'classic-node-redis'), net(at64, 'redis'))
    }),
    more({
      what: 'calls/s, against classic on node-redis',
      unit: '×',
      least: 5,
      aim: 8,
      value: between(rate(at64, 'redis'), rate(at64, 'classic-node-redis'))
    }),
    more({
      what: 'calls/s, against classic on ioredis',
      unit: '×',
      least: 4,
      aim: 6,
      value: between(rate(at64, 'redis'), rate(at64, 'classic-ioredis'))
    }),
    more({
      what: 'p99 of a call, against classic on ioredis',
      unit: '× less',
      least: 4,
      aim: 8,
      value: between(p99(at64, 'classic-ioredis'), p99(at64, 'redis'))
    }),
    more({
      what: 'bare `set` + `get`, main-thread CPU per operation, against ioredis',
      unit: '× less',
      least: 3,
      aim: 5,
      value: between(main(pairs, 'ioredis'), main(pairs, uncached))
    }),
    more({
      what: 'one call at a time, median latency, against classic on ioredis',
      unit: '× less',
      least: 3,
      aim: 5,
      value: between(p50(at1, 'classic-ioredis'), p50(at1, 'redis'))
    }),
    less({
      what: 'reads sent to Redis in an ordinary call, near cache on',
      unit: '',
      least: 0,
      aim: 0,
      value: spread([reads])
    }),
    less({
      what: 'memory per session in the memory store, 1 KB of data',
      unit: '× the data',
      least: 1.4,
      aim: 1.2,
      value: weight && spread([weight.bytes / weight.data])
    }),
    less({
      what: 'main-thread CPU per call from 1 k to 1 M live sessions, RedisStore',
      unit: '×',
      least: 1.3,
      aim: 1.1,
      value: grown('redis')
    }),
    less({
      what: 'the same, MemoryStore',
      unit: '×',
      least: 1.3,
      aim: 1.1,
      value: grown('memory')
    }),
    more({
      what: 'calls/s, against the floor (the same commands through redis-rs, no Node)',
      unit: '×',
      least: 0.5,
      aim: 0.7,
      value: between(rate(floorAt64, 'redis'), rate(floorAt64, 'floor of redis'))
    }),
    more({
      what: "calls/s, MemoryStore against express-session's MemoryStore, 300 bytes",
      unit: '×',
      least: 1,
      aim: 1.3,
      value: between(rate(inMemory, 'memory'), rate(inMemory, 'express-memory'))
    }),
    plain({
      what: 'INFO that changes one of 16 properties of an 8 KB session, main-thread CPU, RedisStore',
      unit: 'µs',
      value: spread(net(infos, 'redis'))
    }),
    plain({ what: 'the same, MemoryStore', unit: 'µs', value: spread(net(infos, 'memory')) })
  ];
}

const SRF_STORES = [
  { id: 'srf-memory', store: 'MemoryStore', least: 20, aim: 12 },
  { id: 'srf-redis', store: 'RedisStore', least: 30, aim: 20 }
];
// garbage collections, on either store
const SRF_COLLECTIONS = 8;

const known = (values) => values && spread(values);

// what the module adds to a call of an application on drachtio-srf
function srfRows({ srf }) {
  const rowsOf = (kind, name) => {
    const at16 = find(srf, { kind, atOnce: 16 });
    const cpu = SRF_STORES.map(({ id, store, least, aim }) => ({
      what: `${name}: main-thread CPU, more than with a \`Map\` by Call-ID, ${store}`,
      least,
      aim,
      value: known(over(at16, id, 'srf-map', 'mainCpu'))
    }));
    const collections = SRF_STORES.map(({ id, store }) => ({
      what: `${name}: garbage collections, more than drachtio-srf alone, ${store}`,
      least: SRF_COLLECTIONS,
      value: known(over(at16, id, 'srf-alone', 'collections'))
    }));
    return [...cpu, ...collections].map((row) => less({ ...row, unit: 'µs' }));
  };
  return [...rowsOf('UasCall', 'call'), ...rowsOf('B2buaCall', 'B2BUA call')];
}

// [{what, unit, least, aim, value: {median, low, high}, verdict}]
const targets = (measured) => judged(rows(measured));
const srfTargets = (measured) => (measured.srf ? judged(srfRows(measured)) : []);

function judged(list) {
  return list.map(({ met, aimed, ...row }) => {
    if (!row.value) return { ...row, verdict: 'not measured' };
    if (row.verdict) return row;
    const { median } = row.value;
    return { ...row, verdict: aimed(median) ? 'aim reached' : met(median) ? 'met' : 'falls short' };
  });
}

module.exports = { srfTargets, targets };
