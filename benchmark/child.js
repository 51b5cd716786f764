'use strict';
// The process of one peer: opens it, and does what the parent asks for, one thing at a time.
// Started by peer-process.js: node child.js <peer> <port of Redis, or 0>

const { Host } = require('./host');
const calls = require('./calls');
const { startClock } = require('./cpu-clock');
const load = require('./load');
const memory = require('./memory');
const peers = require('./peers');
const { makeData } = require('./session-data');

const [id, port] = process.argv.slice(2);
const host = new Host();
let peer;
let stopClock;

const actions = {
  async open() {
    peer = await peers[id].open({ port: Number(port) }, host);
    host.use(peer.middleware);
  },
  async calls({ kind, ...options }) {
    const result = await load.runCalls({ host, Kind: calls[kind], ...options });
    if (result.lost > 0 && !peers[id].loses) throw new Error(`${result.lost} sessions did not come back`);
    return result;
  },
  pairs({ objects, size, ...options }) {
    const value = objects ? makeData(size)('pair') : 'v'.repeat(size);
    if (!objects || peer.values) return load.runPairs({ client: peer, value, ...options });
    // what their users write around them
    const client = {
      set: (key, object) => peer.set(key, JSON.stringify(object)),
      get: async (key) => JSON.parse(await peer.get(key))
    };
    return load.runPairs({ client, value, ...options });
  },
  fill: (options) => memory.fill(peer, options),
  openCalls: (options) => memory.openCalls(host, options),
  connect: (options) => peer.connect(options),
  startClock() {
    stopClock = startClock();
  },
  stopClock: () => stopClock(),
  size: () => peer.size(),
  async close() {
    await peer.close();
    process.disconnect();
  }
};

// A handler that throws in a later turn is a failed run, as one that throws at once.
let failed;
process.on('uncaughtException', (err) => failed?.(err));

process.on('message', async ({ action, options }) => {
  try {
    const value = await new Promise((resolve, reject) => {
      failed = reject;
      Promise.resolve(actions[action](options)).then(resolve, reject);
    });
    process.send({ value });
  } catch (err) {
    process.send({ error: { message: err.stack || String(err), code: err.code } });
  }
});
