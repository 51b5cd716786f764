'use strict';
// An application on drachtio-srf that answers calls through Dialogs: alone, and with the module on its two stores.

const SDP = 'v=0\r\no=app 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 46000 RTP/AVP 0\r\n';

const { isSame, makeData } = require('../session-data');

const SIZE = 1024;

// An error of a handler ends the process.
const failed = (err) =>
  process.nextTick(() => {
    throw err;
  });

const on = (openStore) => async (server) => {
  const Srf = require('drachtio-srf');
  const srf = new Srf();
  const make = makeData(SIZE);
  const session = openStore && require(server.root);
  const store = await openStore?.(session, server);
  if (store) srf.use(session({ store, app: srf }));

  const answer = async (req, res) => {
    const data = make(req.get('call-id'));
    if (store) Object.assign(req.session, data);
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    dialog.on('destroy', (bye) => {
      if (store && !isSame(bye.session, data))
        throw new Error(`the BYE of ${data.call} read a session without its last change`);
    });
  };
  srf.invite((req, res) => answer(req, res).catch(failed));

  return {
    connect: (options) =>
      new Promise((resolve, reject) => {
        srf.on('connect', (err) => (err ? reject(err) : resolve()));
        srf.connect(options);
      }),
    size: () => store?.length() ?? 0,
    close: async () => {
      srf.disconnect();
      await store?.close();
    }
  };
};

async function redis({ RedisStore }, { port }) {
  const store = new RedisStore({ host: '127.0.0.1', port });
  await store.get('connected');
  return store;
}

function memory({ MemoryStore }) {
  return new MemoryStore();
}

module.exports = {
  'srf-alone': { title: 'drachtio-srf alone', open: on() },
  'srf-memory': { title: 'with drachtio-session, MemoryStore', ours: true, open: on(memory) },
  'srf-redis': { title: 'with drachtio-session, RedisStore', ours: true, redis: true, open: on(redis) }
};
