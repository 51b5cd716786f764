'use strict';
// An application on drachtio-srf that answers calls through Dialogs: alone, with its data in a Map by Call-ID, and with the
// module on its two stores. Each application also connects calls as a B2BUA.

const { isSame, makeData } = require('../session-data');

const SDP = 'v=0\r\no=app 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 46000 RTP/AVP 0\r\n';
const SIZE = 1024;

// calls to this user go to a second leg
const B2BUA = 'sip:b2bua';

// An error of a handler ends the process.
const failed = (err) =>
  process.nextTick(() => {
    throw err;
  });

// How an application keeps the data of a call: `put` in the handler of the INVITE, `share` when leg B is up, `take` in the
// handler of a BYE, which ends the session. open(srf, server) -> one of these.

const alone = () => ({ put() {}, share() {}, take: undefined, size: () => 0, close: () => undefined });

// by hand: one entry for the Call-ID of each leg
function inMap() {
  const sessions = new Map();
  return {
    put: (req, callId, data) => sessions.set(callId, data),
    share: (callId, uac) => sessions.set(uac.sip.callId, sessions.get(callId)),
    take(bye, dialog) {
      const callId = bye.get('call-id');
      const data = sessions.get(callId);
      sessions.delete(callId);
      if (dialog.other) sessions.delete(dialog.other.sip.callId);
      return data;
    },
    size: () => sessions.size,
    close: () => undefined
  };
}

// with the module
const inSession = (openStore) => async (srf, server) => {
  const session = require(server.root);
  const store = await openStore(session, server);
  srf.use(session({ store, app: srf }));
  return {
    put: (req, callId, data) => Object.assign(req.session, data),
    // the legs of createB2BUA share the session of the INVITE
    share() {},
    take: (bye) => bye.session,
    size: () => store.length(),
    close: () => store.close()
  };
};

const on = (openKeeper) => async (server) => {
  const Srf = require('drachtio-srf');
  const srf = new Srf();
  const make = makeData(SIZE);
  const keeper = await openKeeper(srf, server);

  const ended = (bye, dialog, data) => {
    if (keeper.take && !isSame(keeper.take(bye, dialog), data))
      throw new Error(`the BYE of ${data.call} read a session without its last change`);
  };

  const answer = async (req, res, data) => {
    const dialog = await srf.createUAS(req, res, { localSdp: SDP });
    dialog.on('destroy', (bye) => ended(bye, dialog, data));
  };

  const connect = async (req, res, data) => {
    const { uas, uac } = await srf.createB2BUA(req, res, req.uri, { localSdpB: req.body });
    keeper.share(data.call, uac);
    for (const dialog of [uas, uac]) {
      dialog.on('destroy', (bye) => {
        ended(bye, dialog, data);
        dialog.other.destroy().catch(failed);
      });
    }
  };

  srf.invite((req, res) => {
    const callId = req.get('call-id');
    const data = make(callId);
    keeper.put(req, callId, data);
    const take = req.uri.startsWith(B2BUA) ? connect : answer;
    take(req, res, data).catch(failed);
  });

  return {
    connect: (options) =>
      new Promise((resolve, reject) => {
        srf.on('connect', (err) => (err ? reject(err) : resolve()));
        srf.connect(options);
      }),
    size: () => keeper.size(),
    close: async () => {
      srf.disconnect();
      await keeper.close();
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
  'srf-alone': { title: 'drachtio-srf alone', open: on(alone) },
  'srf-map': { title: 'with a `Map` by Call-ID', open: on(inMap) },
  'srf-memory': { title: 'with drachtio-session, MemoryStore', ours: true, open: on(inSession(memory)) },
  'srf-redis': { title: 'with drachtio-session, RedisStore', ours: true, redis: true, open: on(inSession(redis)) }
};
