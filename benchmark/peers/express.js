'use strict';
// express-session's Session and Store with connect-redis, with its own MemoryStore and with memorystore, in the same sequence
// as the other peers: generate and save, load, load and destroy. There is no HTTP, and so no cookies and no signatures. A
// session has one key, so that there are no B2BUA calls.

const { EventEmitter } = require('node:events');
const expressSession = require('express-session');

const { Cookie, MemoryStore, Session } = expressSession;
const MAX_AGE = 86400000;

function beforeSend(res, first) {
  const { send } = res;
  res.send = (...args) => {
    first((err) => {
      if (err) throw err;
      send.apply(res, args);
    });
  };
}

function generate(store, req, id) {
  req.sessionID = id;
  req.sessionStore = store;
  req.session = new Session(req);
  req.session.cookie = new Cookie({ maxAge: MAX_AGE });
}

function middleware(store) {
  return (req, res, next) => {
    if (req.isNewInvite()) {
      generate(store, req, req.id);
      beforeSend(res, (leave) => req.session.save(leave));
      return next();
    }
    store.load(req.id, (err, session) => {
      if (err || !session) return next(err || new Error(`no session for ${req.method} ${req.id}`));
      req.session = session;
      if (req.method === 'BYE') beforeSend(res, (leave) => session.destroy(leave));
      next();
    });
  };
}

function opened(store, close = () => undefined, size = undefined) {
  const put = (id, data, callback) => {
    const req = new EventEmitter();
    generate(store, req, id);
    Object.assign(req.session, data);
    req.session.save(callback);
  };
  return { middleware: middleware(store), put, close, size };
}

async function openRedis({ port }) {
  const { RedisStore } = require('connect-redis');
  const { createClient } = require('redis');
  const client = createClient({ socket: { host: '127.0.0.1', port } });
  await client.connect();
  return opened(new RedisStore({ client, ttl: MAX_AGE / 1000 }), () => client.close());
}

function openMemory() {
  const store = new MemoryStore();
  return opened(store, undefined, () => Object.keys(store.sessions).length);
}

function openMemorystore() {
  const Memorystore = require('memorystore')(expressSession);
  const store = new Memorystore({ checkPeriod: undefined });
  const size = () =>
    new Promise((resolve, reject) => {
      store.length((err, length) => (err ? reject(err) : resolve(length)));
    });
  return opened(store, undefined, size);
}

module.exports = {
  'express-redis': { title: 'express-session, connect-redis', redis: true, open: openRedis },
  'express-memory': { title: "express-session's MemoryStore", open: openMemory },
  memorystore: { title: 'memorystore', open: openMemorystore }
};
