'use strict';
// drachtio-session: RedisStore as it comes, RedisStore without its near cache, MemoryStore.

const root = '../..';

function opened(store, host) {
  const session = require(root);
  const { Session } = session;
  const put = (id, data, callback) => {
    const mks = new Session({ store });
    mks.set(id);
    mks.session = data;
    mks.save(callback);
  };
  return { middleware: session({ store, app: host }), put, size: () => store.length(), close: () => store.close() };
}

const openRedis = (options) => async (server, host) => {
  const { RedisStore } = require(root);
  const store = new RedisStore({ host: '127.0.0.1', port: server.port, ttl: 86400, ...options });
  await store.get('connected');
  return opened(store, host);
};

function openMemory(server, host) {
  const { MemoryStore } = require(root);
  return opened(new MemoryStore({ ttl: 86400 }), host);
}

module.exports = {
  redis: { title: 'drachtio-session', redis: true, legs: true, open: openRedis({}) },
  'redis-uncached': {
    title: 'drachtio-session, cache off',
    redis: true,
    legs: true,
    open: openRedis({ cache: false })
  },
  memory: { title: 'drachtio-session, MemoryStore', legs: true, open: openMemory }
};
