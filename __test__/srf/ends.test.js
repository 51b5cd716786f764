'use strict';
// drachtio-srf: however a dialog ends, and whichever side ends it, nothing of it is left in the store. An INVITE that never
// becomes a dialog leaves nothing either.

const assert = require('node:assert/strict');
const { EventEmitter, once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../..');
const { SDP } = require('../../examples/drachtio-server');
const { onEachRelease } = require('../support/srf/bench');
const { called } = require('../support/sessions');
const { until } = require('../support/waiting');

// A store of the application's own whose answers take their time.
class SlowStore extends EventEmitter {
  content = new Map();

  async get(sid) {
    this.emit('get', sid);
    await sleep(50);
    return this.content.get(sid);
  }

  async set(sid, value) {
    await sleep(5);
    this.content.set(sid, value);
  }

  async destroy(sid) {
    await sleep(5);
    this.content.delete(sid);
  }
}

const answer = { localSdp: SDP('app') };
const TERMINATED = { Event: 'presence', 'Subscription-State': 'terminated' };

function uasApplication(srf, define = () => undefined) {
  srf.invite(async (req, res) => {
    req.session.caller = req.callingNumber;
    const uas = await srf.createUAS(req, res, { ...answer });
    define(uas);
    srf.emit('established', uas);
  });
}

function b2buaApplication(srf) {
  srf.invite(async (req, res) => {
    req.session.caller = req.callingNumber;
    const { uas, uac } = await srf.createB2BUA(req, res, 'sip:bob@b.example', { localSdpB: req.body });
    srf.emit('established', uas, uac);
  });
}

const notifier = (app, define = () => undefined) =>
  app.subscribe(async (req, res) => {
    req.session.watcher = req.callingNumber;
    const uas = await app.createUAS(req, res, { headers: { Expires: '60' } });
    define(uas);
    app.emit('established', uas);
  });

async function subscription(bench, srf) {
  const call = bench.server.subscribe();
  const [[uas]] = await Promise.all([once(srf, 'established'), call.answered]);
  assert.deepEqual(await bench.storedOf(uas.mks), { watcher: 'caller' });
  return { call, uas };
}

// The answers that may be given to a BYE of the application; each ends the dialog.
const BYE_ANSWERS = [200, 408, 481, 500];
// What an application may do to an INVITE instead of making a dialog.
const REFUSALS = {
  'a 486': (req, res) => res.send(486),
  'a 302': (req, res) => res.send(302, { headers: { Contact: '<sip:other@c.example>' } }),
  'a 603 after a while': (req, res) => setTimeout(() => res.send(603), 30),
  'a 180, then a 500': (req, res) => {
    res.send(180);
    res.send(500);
  },
  'an error that is thrown': () => {
    throw new Error('thrown on purpose');
  },
  'next(err)': (req, res, next) => next(new Error('handed on, on purpose'))
};

onEachRelease((test, { kind }) => {
  test('a BYE of the caller, of the callee, of either leg of a B2BUA', async (bench) => {
    const srf = await bench.start((app) => b2buaApplication(app));
    for (const first of ['call', 'callee']) {
      const { given, ...legs } = await bench.connected(srf);
      const [dialog] = given;
      await legs[first].bye();
      const other = dialog.mks.keys.find((key) => key.endsWith(legs[first === 'call' ? 'callee' : 'call'].callId));
      assert.deepEqual(await bench.storedOf({ keys: [other] }), { caller: 'caller' });
      await legs[first === 'call' ? 'callee' : 'call'].bye();
      await bench.becomesEmpty();
    }
  });

  test('dialog.destroy(), with a callback and with a promise', async (bench) => {
    const srf = await bench.start((app) => uasApplication(app));
    for (const calledBack of [true, false]) {
      const { given } = await bench.call(srf);
      const [uas] = given;
      assert.equal(await bench.size(), 1);
      if (calledBack) await called(uas, 'destroy');
      else await uas.destroy();
      await bench.becomesEmpty();
    }
  });

  for (const status of BYE_ANSWERS) {
    test(`dialog.destroy(), its BYE answered ${status}`, async (bench) => {
      bench.server.onRequest((leg, { method }) => (method === 'BYE' ? status : 200));
      const srf = await bench.start((app) => uasApplication(app));
      const { given } = await bench.call(srf);
      await given[0].destroy();
      await bench.becomesEmpty();
    });
  }

  test('dialog.destroy() of a dialog that the server does not know any more', async (bench) => {
    const srf = await bench.start((app) => uasApplication(app));
    const { given } = await bench.call(srf);
    bench.server.dialogs.clear();
    await assert.rejects(given[0].destroy(), /unable to find dialog/);
    await bench.becomesEmpty();
  });

  test('a BYE sent with dialog.request', async (bench) => {
    const srf = await bench.start((app) => uasApplication(app));
    const { given } = await bench.call(srf);
    await given[0].request({ method: 'BYE' });
    await bench.becomesEmpty();
  });

  test('a BYE sent by the id of the dialog, in another process', async (bench) => {
    const srf = await bench.start((app) => uasApplication(app));
    const { given, call } = await bench.call(srf);
    const other = await bench.process();
    await bench.connect(other);
    const req = await other.request('sip:placeholder', { method: 'BYE', stackDialogId: given[0].id });
    await once(req, 'response');
    assert.equal(await (await call.received('BYE')).answered, 200);
    if (kind.processes > 1) await bench.becomesEmpty();
  });

  test('both sides hang up at once', async (bench) => {
    const srf = await bench.start((app) => uasApplication(app));
    for (let count = 0; count < 20; count++) {
      const { given, call } = await bench.call(srf);
      await Promise.all([call.bye(), given[0].destroy().catch(() => undefined)]);
      await bench.becomesEmpty();
    }
  });

  test('both sides hang up at once, with a slow store: the handlers of destroy are told', async (bench) => {
    const seen = [];
    const store = new SlowStore();
    const srf = bench.with({ store });
    uasApplication(srf, (uas) => uas.on('destroy', (bye) => seen.push(bye.session.caller)));
    await bench.connect(srf);
    const { given, call } = await bench.call(srf);
    // the application's own BYE goes out while that of the caller waits for its session
    const reached = new Promise((resolve) => {
      store.once('get', () => resolve(given[0].destroy().catch(() => undefined)));
    });
    assert.equal((await call.bye()).status, 200);
    await reached;
    await until(() => store.content.size === 0, 'the key to go');
    assert.deepEqual(seen, ['caller']);
  });

  test('srf.endSession in a destroy handler: the connection is closed after the response has left', async (bench) => {
    const srf = bench.application();
    uasApplication(srf, (uas) => uas.on('destroy', (bye) => srf.endSession(bye)));
    await bench.serves(srf);
    const { call } = await bench.call(srf);
    const closed = until(() => bench.server.connections.size === 0, 'the connection to be closed');
    assert.equal((await call.bye()).status, 200);
    await closed;
    await bench.becomesEmpty();
  });

  test('both legs of a B2BUA hang up at once', async (bench) => {
    const srf = await bench.start((app) => b2buaApplication(app));
    for (let count = 0; count < 20; count++) {
      const { given, call, callee } = await bench.connected(srf);
      for (const dialog of given) dialog.on('destroy', () => dialog.other.destroy().catch(() => undefined));
      await Promise.all([call.bye(), callee.bye()]);
      await bench.becomesEmpty();
    }
  });

  test("the server's own BYE after a missing ACK", async (bench) => {
    const seen = [];
    const srf = await bench.start((app) =>
      uasApplication(app, (uas) => uas.on('destroy', (bye) => seen.push([bye.source, bye.session.caller])))
    );
    const { call } = await bench.call(srf, { ack: false });
    call.ackTimeout();
    await bench.becomesEmpty();
    assert.deepEqual(seen, [['application', 'caller']]);
  });

  test("the server's own BYE where there is no Dialog", async (bench) => {
    const seen = [];
    await bench.start((app) => {
      app.invite((req, res) => {
        req.session.caller = req.callingNumber;
        res.send(200, { body: SDP('app') });
      });
      app.bye((req, res) => {
        seen.push([req.source, req.session.caller]);
        res.send(200);
      });
    });
    const call = bench.server.call({ ack: false });
    await call.answered;
    call.ackTimeout();
    await bench.becomesEmpty();
    assert.deepEqual(seen, [['application', 'caller']]);
  });

  test('a destroy handler sees the data, and what it changes does not bring the session back', async (bench) => {
    const seen = [];
    const srf = await bench.start((app) =>
      uasApplication(app, (uas) =>
        uas.on('destroy', (bye) => {
          seen.push({ ...bye.session });
          bye.session.late = true;
          uas.session.later = true;
          setTimeout(() => uas.session.save().catch(({ code }) => seen.push(code)), 20);
          setTimeout(() => srf.emit('late'), 100);
        })
      )
    );
    const { call } = await bench.call(srf);
    const late = once(srf, 'late');
    await call.bye();
    await late;
    assert.deepEqual(seen, [{ caller: 'caller' }, 'ERR_SESSION_GONE']);
    await bench.assertEmpty();
    bench.expected();
  });

  // ---- subscriptions

  test('a subscription that dialog.destroy() ends', async (bench) => {
    const srf = await bench.start((app) => notifier(app));
    const { call, uas } = await subscription(bench, srf);
    await uas.destroy();
    assert.equal((await call.received('NOTIFY')).message.get('subscription-state'), 'terminated');
    await bench.becomesEmpty();
  });

  test('a subscription that a NOTIFY of the application ends', async (bench) => {
    const srf = await bench.start((app) => notifier(app));
    const { uas } = await subscription(bench, srf);
    await uas.request({ method: 'NOTIFY', headers: { Event: 'presence', 'Subscription-State': 'active' } });
    assert.equal(await bench.size(), 1);
    await uas.request({ method: 'NOTIFY', headers: TERMINATED });
    await bench.becomesEmpty();
  });

  test('a subscription that the watcher ends with Expires: 0', async (bench) => {
    const seen = [];
    const srf = await bench.start((app) =>
      notifier(app, (uas) => uas.on('unsubscribe', (req) => seen.push(req.session.watcher)))
    );
    const { call } = await subscription(bench, srf);
    assert.equal((await call.request('SUBSCRIBE', { headers: { Event: 'presence', Expires: 0 } })).status, 202);
    assert.deepEqual(seen, ['caller']);
    await bench.becomesEmpty();
  });

  test('a subscription of the application that the notifier ends', async (bench) => {
    const srf = await bench.start((app) => app.invite((req, res) => res.send(404)));
    const opts = { method: 'SUBSCRIBE', headers: { Event: 'presence', Expires: '60' } };
    const [callee, uac] = await Promise.all([bench.server.callee(), srf.createUAC('sip:bob@b.example', opts)]);
    uac.session.watched = 'bob';
    const seen = [];
    uac.on('notify', (req, res) => {
      seen.push(req.session.watched);
      res.send(200);
    });
    await callee.request('NOTIFY', { headers: { Event: 'presence', 'Subscription-State': 'active' } });
    assert.equal(await bench.size(), 1);
    await callee.request('NOTIFY', { headers: TERMINATED });
    assert.deepEqual(seen, ['bob', 'bob']);
    await bench.becomesEmpty();
  });

  // ---- INVITEs that never become a dialog

  for (const [what, refuse] of Object.entries(REFUSALS)) {
    test(`an INVITE that ends with ${what} leaves nothing`, async (bench) => {
      await bench.start((app) =>
        app.invite((req, res, next) => {
          req.session.caller = req.callingNumber;
          return refuse(req, res, next);
        })
      );
      const { error } = console;
      console.error = () => undefined; // drachtio-srf prints what a handler throws
      try {
        assert.ok((await bench.server.call().final).status >= 300);
      } finally {
        console.error = error;
      }
      await bench.becomesEmpty();
    });
  }

  test('an INVITE that was saved explicitly and then refused leaves nothing', async (bench) => {
    await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.caller = req.callingNumber;
        await req.session.save();
        res.send(486);
      })
    );
    assert.equal((await bench.server.call().final).status, 486);
    await bench.becomesEmpty();
  });

  test('an INVITE without a dialog because an async handler failed leaves nothing', async (bench) => {
    await bench.start((app) =>
      app.invite((req, res) => {
        const work = async () => {
          req.session.caller = req.callingNumber;
          await sleep(1);
          throw new Error('thrown on purpose');
        };
        work().catch(() => res.send(500));
      })
    );
    assert.equal((await bench.server.call().final).status, 500);
    await bench.becomesEmpty();
  });

  test('a B2BUA whose callee is busy leaves nothing', async (bench) => {
    bench.server.onInvite((callee) => callee.respond(486));
    await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.caller = req.callingNumber;
        const err = await app.createB2BUA(req, res, 'sip:bob@b.example').catch((reason) => reason);
        app.emit('failed', err);
      })
    );
    assert.equal((await bench.server.call().final).status, 486);
    await bench.becomesEmpty();
  });

  test('createUAS after the caller is gone: the error of drachtio-srf as it is, and nothing is left', async (bench) => {
    const srf = await bench.start((app) =>
      app.invite((req, res) => {
        req.session.caller = req.callingNumber;
        app.once('go on', () => {
          app.createUAS(req, res, { ...answer }).catch((err) => app.emit('failed', err));
        });
        app.emit('ringing');
        res.send(180);
      })
    );
    const call = bench.server.call();
    await call.response(180);
    const failed = once(srf, 'failed');
    await call.cancel();
    srf.emit('go on');
    await failed;
    await bench.becomesEmpty();
  });

  test('cdr:stop of a challenged INVITE does not end the call that its retry began', async (bench) => {
    const srf = await bench.start((app) => {
      session.cdr(app, { after: 20 });
      app.invite(async (req, res) => {
        if (!req.has('authorization')) return res.send(401);
        req.session.caller = req.callingNumber;
        app.emit('established', await app.createUAS(req, res, { ...answer }));
      });
    });
    const id = { callId: 'challenged@a.example', tag: 'one' };
    assert.equal((await bench.server.call(id).final).status, 401);
    const { call, given } = await bench.call(srf, { ...id, headers: { Authorization: 'Digest username="caller"' } });
    await sleep(100);
    assert.deepEqual(await bench.stored(id.callId), { caller: 'caller' });
    assert.equal(given[0].mks.removed, false);
    await call.bye();
    await bench.becomesEmpty();
  });

  test('cdr:stop of a challenge that the application answered does not end its call', async (bench) => {
    const challenge = { headers: { 'WWW-Authenticate': 'Digest realm="b", nonce="n"' } };
    let count = 0;
    bench.server.onInvite((callee) =>
      count++ === 0 ? callee.respond(401, challenge) : callee.respond(200, { body: SDP('callee') })
    );
    const srf = await bench.start((app) => {
      session.cdr(app, { after: 20 });
      app.invite((req, res) => res.send(404));
    });
    const auth = { username: 'u', password: 'p' };
    const uac = await srf.createUAC('sip:bob@b.example', { localSdp: SDP('app'), auth });
    await sleep(100);
    assert.equal(uac.mks.removed, false);
    await uac.destroy();
    await bench.becomesEmpty();
  });

  for (const status of [486, 200]) {
    test(`cdr:stop of a B leg with the Call-ID of the A leg, answered ${status}, leaves the A leg`, async (bench) => {
      bench.server.onInvite((callee) => callee.respond(status, { body: status === 200 ? SDP('callee') : '' }));
      const srf = await bench.start((app) => {
        session.cdr(app, { after: 20 });
        app.invite(async (req, res) => {
          req.session.caller = req.callingNumber;
          const opts = { localSdp: SDP('app'), session: req.session, headers: { 'call-id': req.get('call-id') } };
          const uac = await app.createUAC('sip:bob@b.example', opts).catch(() => undefined);
          const uas = await app.createUAS(req, res, { ...answer });
          app.emit('established', uas, uac);
        });
      });
      const { call, given } = await bench.call(srf);
      const [uas, uac] = given;
      await uac?.destroy();
      await sleep(100);
      assert.equal(uas.mks.removed, false);
      assert.deepEqual(await bench.stored(call.callId), { caller: 'caller' });
      await call.bye();
      await bench.becomesEmpty();
    });
  }

  // ---- calls whose process died

  if (kind.processes > 1) {
    test('cdr:stop ends the session of a call whose process died', async (bench) => {
      const srf = await bench.start((app) => uasApplication(app));
      const { call } = await bench.call(srf);
      const other = await bench.process();
      session.cdr(other, { after: 50 });
      await bench.connect(other);
      bench.disconnect(srf);
      await until(() => bench.server.connections.size === 1, 'the connection to be gone');
      assert.equal(await bench.size(), 1);
      assert.equal((await call.bye()).status, 481);
      await bench.becomesEmpty();
    });

    test('cdr:stop of both legs of a B2BUA whose process died', async (bench) => {
      const srf = await bench.start((app) => b2buaApplication(app));
      const { call, callee } = await bench.connected(srf);
      const other = await bench.process();
      session.cdr(other, { after: 50 });
      await bench.connect(other);
      bench.disconnect(srf);
      await until(() => bench.server.connections.size === 1, 'the connection to be gone');
      assert.equal((await callee.bye()).status, 481);
      await until(async () => (await bench.stored(callee.callId)) === undefined, 'the key of the B leg to go');
      assert.deepEqual(await bench.stored(call.callId), { caller: 'caller' });
      assert.equal((await call.bye()).status, 481);
      await bench.becomesEmpty();
    });

    test('cdr:stop of a call that was refused or canceled is no news', async (bench) => {
      await bench.start((app) => {
        session.cdr(app, { after: 0 });
        app.invite((req, res) => res.send(req.calledNumber === 'ring' ? 180 : 486));
      });
      const stops = [];
      bench.server.on('wire', (from, text) => text.includes('|cdr:stop|') && stops.push(text));
      assert.equal((await bench.server.call().final).status, 486);
      const call = bench.server.call({ to: 'ring' });
      await call.response(180);
      await call.cancel();
      await until(() => stops.length === 2, 'the records');
      await sleep(50);
      await bench.becomesEmpty();
    });

    test('cdr:stop of calls that live elsewhere, or are answered here, changes nothing for them', async (bench) => {
      const seen = [];
      const define = (app) => {
        session.cdr(app, { after: 100 });
        uasApplication(app, (uas) => uas.on('destroy', (bye) => seen.push(bye.session.caller)));
      };
      const srf = await bench.start(define);
      const other = await bench.process();
      define(other);
      await bench.connect(other, 2);
      for (let count = 0; count < 6; count++) {
        const call = bench.server.call();
        const established = Promise.race([once(srf, 'established'), once(other, 'established')]);
        await Promise.all([call.answered, established]);
        assert.equal(await bench.size(), 1);
        assert.equal((await call.bye()).status, 200);
        await bench.becomesEmpty();
      }
      assert.deepEqual(seen, Array(6).fill('caller'));
    });
  }
});
