'use strict';
// The stores that the tests of identity run on. Each is opened with options, and gives make(), a store object for one more
// process, read(id), the data under a key as it is stored, left(), the names of all that is stored, and close().
//
// What a kind has: `processes`: several processes can share it; `claims`: it keeps a dialog's key from another session, also
// one of another process; `ttl`.

const session = require('../../..');
const { PromiseStore } = require('../contract/stores');

// `left` by names without the tombstones of young sessions that another process has removed
const NAMES = `
  local left = {}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local tombstone = redis.call('TYPE', key).ok == 'hash' and redis.call('HEXISTS', key, 'gone')
    if not tombstone or redis.call('HLEN', key) > tombstone then left[#left + 1] = key end
  end
  return left`;

// What is stored under the key of a native store.
async function valueIn(store, id) {
  const stored = await store.get(`mks:${id}`);
  return stored ? { ...stored.session } : undefined;
}

function memory(_redis, options) {
  const store = new session.MemoryStore(options);
  return {
    make: () => store,
    read: (id) => valueIn(store, id),
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
  let reader;
  return {
    make: () => open({ cache }),
    async read(id) {
      reader ??= open({ cache: false });
      return valueIn(await reader, id);
    },
    left: async () => (await redis.cli('EVAL', NAMES, '0')).split('\n').filter(Boolean).toSorted(),
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
    // the keys; the sessions themselves only if none leads to them
    left() {
      const names = [...entries.keys()];
      const keys = names.filter((name) => !name.startsWith('mks:session:'));
      return keys.length > 0 ? keys : names;
    },
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
