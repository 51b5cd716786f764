'use strict';
// classic: the algorithm of the module of 2014, in plain JavaScript.

const middleware = require('./middleware');
const ClassicSession = require('./session');
const stores = require('./stores');

const on = (open) => async (server, host) => {
  const store = await open(server.port);
  const put = (id, data, callback) => {
    const mks = new ClassicSession(store, undefined, { session: data });
    mks.set(id);
    mks.save(callback);
  };
  return { middleware: middleware(store, host), put, close: () => store.close() };
};

// `loses`: a changed session that has the checksum of the unchanged one is not saved
const traits = { redis: true, legs: true, loses: true };

module.exports = {
  'classic-node-redis': { title: 'classic on node-redis', ...traits, open: on(stores.onNodeRedis) },
  'classic-ioredis': { title: 'classic on ioredis', ...traits, open: on(stores.onIoredis) }
};
