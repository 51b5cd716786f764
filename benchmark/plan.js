'use strict';
// What a run measures: everything, with --quick what the tables of targets need, with --against the same on two builds, with
// --only srf the applications on drachtio-srf.

const REDIS_PEERS = ['driver', 'redis', 'redis-uncached', 'classic-node-redis', 'classic-ioredis', 'express-redis'];
const MEMORY_PEERS = ['driver', 'memory', 'express-memory', 'memorystore'];
const CLIENTS = ['node-redis', 'ioredis', 'ioredis-pipelining', 'glide', 'store-uncached', 'store'];
const MILLION = 1000000;

const full = {
  name: 'full',
  // five, so that a slow moment of the machine affects fewer than half of them
  rounds: 5,
  // of the scenario behind most ratios of the table: 64 calls at once, sessions of 1 KB, on Redis
  decisiveRounds: 9,
  ms: 300,
  // at the beginning of each measurement, not counted (rounds.js)
  wakeMs: 100,
  warmUpMs: 1000,
  redisPeers: REDIS_PEERS,
  memoryPeers: MEMORY_PEERS,
  calls: [
    { kind: 'UasCall', sizes: [300, 1024, 8192], atOnce: [1, 8, 64, 512] },
    { kind: 'B2buaCall', sizes: [1024], atOnce: [1, 8, 64, 512] }
  ],
  memoryCalls: [{ kind: 'UasCall', sizes: [300, 1024, 8192], atOnce: [1, 64] }],
  clientPeers: CLIENTS,
  clients: { objects: [false, true], atOnce: [1, 64] },
  floor: { atOnce: [1, 64, 512], requests: 500000 },
  // each INFO changes one of these properties
  infos: { size: 8192, properties: 16, atOnce: 64 },
  infoPeers: ['driver', 'redis', 'memory'],
  openCalls: ['redis', 'redis-uncached', 'express-redis', 'memory'].map((id) => ({ id, count: 100000 })),
  srf: {
    ms: 600,
    calls: [
      { kind: 'UasCall', atOnce: [16, 1] },
      { kind: 'B2buaCall', atOnce: [16] }
    ]
  },
  srfPeers: ['srf-alone', 'srf-map', 'srf-memory', 'srf-redis'],
  growthRounds: 3,
  growth: ['memory', 'express-memory', 'memorystore', 'redis'].map((id) => ({
    id,
    live: [1000, MILLION]
  })),
  coldStart: { rounds: 7, ids: ['memory', 'redis', 'classic-node-redis', 'classic-ioredis', 'express-redis'] }
};

const quick = {
  ...full,
  name: 'quick',
  ms: 400,
  wakeMs: 150,
  warmUpMs: 600,
  memoryPeers: ['driver', 'memory', 'express-memory'],
  calls: [{ kind: 'UasCall', sizes: [1024], atOnce: [64, 1] }],
  memoryCalls: [{ kind: 'UasCall', sizes: [300], atOnce: [64] }],
  clients: { objects: [false], atOnce: [64] },
  floor: { atOnce: [64], requests: 30000 },
  openCalls: [{ id: 'redis', count: 20000 }],
  srf: {
    ms: 600,
    calls: [
      { kind: 'UasCall', atOnce: [16] },
      { kind: 'B2buaCall', atOnce: [16] }
    ]
  },
  growthRounds: 3,
  growth: ['memory', 'redis'].map((id) => ({ id, live: [1000, MILLION] })),
  coldStart: { rounds: 3, ids: ['memory', 'redis', 'classic-ioredis'] }
};

// The peers that are builds of this project, and the driver.
const against = {
  ...quick,
  name: 'against',
  // how often the peers' processes are started, each time for as many rounds
  passes: 3,
  redisPeers: ['driver', 'redis'],
  memoryPeers: ['driver', 'memory'],
  clientPeers: ['store-uncached'],
  floor: undefined,
  openCalls: [],
  growthRounds: 9,
  coldStart: undefined
};

// The same runs with drachtio-srf alone: one pass takes about a minute.
const onlySrf = (plan) => ({ ...plan, only: 'srf', srf: { ...plan.srf, ms: 1000 } });

module.exports = { against, full, onlySrf, quick };
