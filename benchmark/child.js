'use strict';
// The process of one peer: opens the peer and runs the actions that the parent sends, one at a time.
// peer-process.js starts it: node child.js <peer> <port of Redis, or 0> <folder of the build>

const { Host } = require('./host');
const calls = require('./calls');
const { watchCollections } = require('./collections');
const { startClock } = require('./cpu-clock');
const load = require('./load');
const memory = require('./memory');
const peers = require('./peers');
const { makeData } = require('./session-data');

const [id, port, root] = process.argv.slice(2);
const host = new Host();
let peer;
let stopClock;

// a result; a lost change fails the run
function checked(result) {
  if (result.lost > 0 && !peers[id].loses)
    throw new Error(`${result.lost} calls read a session without its last change`);
  return result;
}

const actions = {
  async open() {
    peer = await peers[id].open({ port: Number(port), root }, host);
    host.use(peer.middleware);
  },
  async calls({ kind, ...options }) {
    return checked(await load.runCalls({ host, Kind: calls[kind], ...options }));
  },
  pairs({ objects, size, ...options }) {
    const value = objects ? makeData(size)('pair') : 'v'.repeat(size);
    if (!objects || peer.values) return load.runPairs({ client: peer, value, ...options });
    // as applications use these clients
    const client = {
      set: (key, object) => peer.set(key, JSON.stringify(object)),
      get: async (key) => JSON.parse(await peer.get(key))
    };
    return load.runPairs({ client, value, ...options });
  },
  infos: async (options) => checked(await load.runInfos({ host, ...options })),
  fill: (options) => memory.fill(peer, options),
  openCalls: (options) => memory.openCalls(host, options),
  connect: (options) => peer.connect(options),
  startClock() {
    const collections = watchCollections();
    const cost = startClock();
    stopClock = async () => ({ ...cost(), collections: await collections() });
  },
  stopClock: () => stopClock(),
  size: () => peer.size(),
  async close() {
    await peer.close();
    process.disconnect();
  }
};

// A handler that throws in a later turn of the event loop fails the run, as one that throws at once.
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
