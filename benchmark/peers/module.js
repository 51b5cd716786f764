'use strict';
// drachtio-session: RedisStore with its defaults, RedisStore without its near cache, MemoryStore. `root` is the folder of
// the build; builds differ in everything but the public API.

function opened(session, store, host) {
  const { Session } = session;
  const put = (id, data, callback) => {
    const mks = new Session({ store });
    mks.set(id);
    mks.session = data;
    mks.save(callback);
  };
  return { middleware: session({ store, app: host }), put, size: () => store.length(), close: () => store.close() };
}

const openRedis =
  (options) =>
  async ({ port, root }, host) => {
    const session = require(root);
    const store = new session.RedisStore({ host: '127.0.0.1', port, ttl: 86400, ...options });
    await store.get('connected');
    return opened(session, store, host);
  };

function openMemory({ root }, host) {
  const session = require(root);
  return opened(session, new session.MemoryStore({ ttl: 86400 }), host);
}

// `ours`: the peer is a build of this project
const traits = { ours: true, legs: true };

module.exports = {
  redis: { title: 'drachtio-session', redis: true, ...traits, open: openRedis({}) },
  'redis-uncached': {
    title: 'drachtio-session, cache off',
    redis: true,
    ...traits,
    open: openRedis({ cache: false })
  },
  memory: { title: 'drachtio-session, MemoryStore', ...traits, open: openMemory }
};
