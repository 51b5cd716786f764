'use strict';
// The stores that the tests of identity run on. Each is opened with options, and gives make(), a store object for one more
// process, read(id), the data under a key as it is stored, keys(), the keys by which sessions are found, left(), the names of
// all that is stored, and close().
//
// What a kind has: `processes`: several processes can share it; `claims`: it keeps a dialog's key from another session, also
// one of another process; `ttl`.

const session = require('../../..');
const { PromiseStore } = require('../contract/stores');

// What is stored under the key of a native store.
async function valueIn(store, id) {
  const stored = await store.get(`mks:${id}`);
  return stored ? { ...stored.session } : undefined;
}

async function keysIn(store) {
  const all = await store.all();
  return all.flatMap(({ keys }) => Object.keys(keys)).toSorted();
}

function memory(_redis, options) {
  const store = new session.MemoryStore(options);
  return {
    make: () => store,
    read: (id) => valueIn(store, id),
    keys: () => keysIn(store),
    left: () => store.ids(),
    close: () => store.close()
  };
}

const redisStore = (cache) => (redis, options) => {
  const stores = [];
  const open = async (more) => {
    const store = new session.RedisStore({ host: redis.host, port: redis.port, ...options, ...more });
    stores.push(store);
    await store.length(); // connected
    return store;
  };
  let opened;
  const reader = () => (opened ??= open({ cache: false }));
  return {
    make: () => open({ cache }),
    read: async (id) => valueIn(await reader(), id),
    keys: async () => keysIn(await reader()),
    left: () => redis.names(),
    close: () => Promise.all(stores.map((store) => store.close()))
  };
};

function promises() {
  const entries = new Map();
  return {
    make: () => new PromiseStore(entries),
    async read(id) {
      const found = await session.Session.loadFromStorage({ store: new PromiseStore(entries) }, id);
      return found ? { ...found.session } : undefined;
    },
    keys: () => [...entries.keys()].filter((name) => !name.startsWith('mks:session:')).toSorted(),
    left: () => [...entries.keys()],
    close: () => undefined
  };
}

const kinds = [
  { name: 'MemoryStore', open: memory, ttl: true },
  { name: 'RedisStore', open: redisStore(false), redis: true, processes: true, claims: true, ttl: true },
  { name: 'RedisStore, near cache', open: redisStore(true), redis: true, processes: true, claims: true, ttl: true },
  { name: 'store with promises', open: promises, processes: true }
];

module.exports = { kinds };
