'use strict';
// A store of either kind with the server it needs, and sessions in it.

const session = require('../..');
const { RedisServer } = require('./redis');
const { within } = require('./waiting');

const { MemoryStore, RedisStore, Session } = session;

// A redis-server that ends with the test.
async function startRedis(t, ...args) {
  const server = await RedisServer.start(...args);
  t.after(() => server.stop());
  return server;
}

// A RedisStore that is closed at the end of the test; its errors are kept in `errors`.
function connect(t, options) {
  const store = new RedisStore(options);
  store.errors = [];
  store.on('error', (err) => store.errors.push(err));
  t.after(() => store.close());
  return store;
}

// A store of a kind, 'memory' or 'redis', with the server it needs.
async function openStore(t, kind, options = {}) {
  if (kind === 'memory') return new MemoryStore(options);
  const { port } = await startRedis(t);
  return connect(t, { port, host: '127.0.0.1', ...options });
}

// A session in the store.
async function save(store, id, data) {
  const mks = new Session({ store });
  mks.set(id);
  mks.session = data;
  await mks.save();
  return mks;
}

const load = (store, id) => Session.loadFromStorage({ store }, id);

// The data that a fresh load of the session finds: a plain object.
async function stored(store, id) {
  const mks = await load(store, id);
  return mks && { ...mks.session };
}

// Calls a method with a callback and gives what came: [err, value].
const called = (object, method, ...args) =>
  within(
    new Promise((resolve) => {
      object[method](...args, (...came) => resolve(came));
    }),
    `${method}() to call back`
  );

module.exports = { called, connect, load, openStore, save, startRedis, stored };
