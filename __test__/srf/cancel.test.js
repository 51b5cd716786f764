'use strict';
// drachtio-srf: a CANCEL is never lost, however slow the store is, and a canceled INVITE leaves nothing.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { describe, it } = require('node:test');
const session = require('../..');
const { DrachtioServer, SDP } = require('../../examples/drachtio-server');
const { FaultyStore } = require('../support/contract/faulty-store');
const { connectSrf, onEachRelease, releases } = require('../support/srf/bench');
const { until, within } = require('../support/waiting');

const BOB = 'sip:bob@b.example';
const RETRY = { Authorization: 'Digest username="jack"' };
const DELAY = 200; // ms

// A store whose answers take a while.
class SlowStore extends FaultyStore {
  perform(method, act, callback) {
    this.asked = (this.asked || 0) + 1;
    setTimeout(() => callback(null, act()), DELAY);
  }
}

onEachRelease((test) => {
  test('the handler of a new INVITE runs in the same turn as without the module', async (bench) => {
    const turns = [];
    const srf = await bench.start((app) => {
      app.invite((req, res) => {
        turns.push(req.sameTurn);
        res.send(486);
      });
    });
    srf.app.stack.unshift({
      method: '*',
      handle: (req, res, next) => {
        req.sameTurn = true;
        next();
        req.sameTurn = false;
      }
    });
    assert.equal((await bench.server.call().final).status, 486);
    assert.deepEqual(turns, [true]);
  });

  test('a ringing UAS: the application hears of the CANCEL, nothing is left', async (bench) => {
    const seen = [];
    await bench.start((app) =>
      app.invite((req, res) => {
        req.session.caller = req.callingNumber;
        req.on('cancel', () => seen.push(req.session.caller));
        res.send(180);
      })
    );
    const call = bench.server.call();
    await call.response(180);
    assert.equal((await call.cancel()).status, 487);
    await until(() => seen.length === 1, 'the event');
    await bench.becomesEmpty();
  });

  test('an INVITE that was saved while it rang, and is canceled, leaves nothing', async (bench) => {
    const srf = await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.caller = req.callingNumber;
        res.send(180);
        await req.session.save();
        app.emit('saved');
      })
    );
    const call = bench.server.call();
    await Promise.all([once(srf, 'saved'), call.response(180)]);
    assert.equal(await bench.size(), 1);
    await call.cancel();
    await bench.becomesEmpty();
  });

  test('a B2BUA: the far end is canceled, nothing is left', async (bench) => {
    bench.server.onInvite((callee) => callee.respond(180));
    const srf = await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.caller = req.callingNumber;
        await app.createB2BUA(req, res, BOB).catch((err) => app.emit('failed', err.status));
      })
    );
    for (let count = 0; count < 10; count++) {
      const callee = bench.server.callee();
      const failed = once(srf, 'failed');
      const call = bench.server.call();
      await call.response(180);
      await call.cancel();
      assert.deepEqual(await failed, [487]);
      assert.equal((await callee).canceled, true);
      await bench.becomesEmpty();
    }
  });

  test('a CANCEL that comes with its INVITE in one packet', async (bench) => {
    const seen = [];
    await bench.start((app) =>
      app.invite((req, res) => {
        req.session.caller = req.callingNumber;
        req.on('cancel', () => seen.push(req.session.caller));
        res.send(180, () => undefined);
      })
    );
    const call = bench.server.call();
    assert.equal((await call.cancel()).status, 487);
    await until(() => seen.length === 1, 'the event');
    await bench.becomesEmpty();
  });

  test('a CANCEL that crosses the 200: no dialog, nothing is left, and createUAS tells', async (bench) => {
    const srf = await bench.start((app) =>
      app.invite((req, res) => {
        req.session.caller = req.callingNumber;
        app.createUAS(req, res, { localSdp: SDP('app') }).then(
          (uas) => app.emit('over', uas),
          () => app.emit('over', undefined)
        );
      })
    );
    for (let count = 0; count < 20; count++) {
      const over = once(srf, 'over');
      const call = bench.server.call();
      call.cancel();
      const { status } = await call.final;
      const [uas] = await over;
      // whichever was first: the final response, or the CANCEL
      assert.equal(uas === undefined, status === 487);
      if (status === 200) await call.bye();
      await bench.becomesEmpty();
    }
  });

  test('a CANCEL after the 200 changes nothing', async (bench) => {
    const srf = await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.caller = req.callingNumber;
        app.emit('established', await app.createUAS(req, res, { localSdp: SDP('app') }));
      })
    );
    const { call, given } = await bench.call(srf);
    assert.equal((await call.cancel()).status, 200);
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'caller' });
    await call.bye();
    await bench.becomesEmpty();
  });
});

const onSlowStore = (Srf) => (title, define, play) =>
  it(title, async (t) => {
    const [server, store, srf] = [await DrachtioServer.start(), new SlowStore(), new Srf()];
    t.after(() => {
      srf.disconnect();
      return server.stop();
    });
    srf.use(session({ store, app: srf }));
    define(srf);
    await connectSrf(srf, server);
    await within(play(server, srf, store), 'the test to end');
    await until(() => store.entries.size === 0, 'the store to become empty');
    assert.deepEqual(store.errors, []);
  });

const connect = (srf) =>
  srf.invite(async (req, res) => {
    req.session.caller = req.callingNumber;
    srf.emit('reached', req);
    await srf.createB2BUA(req, res, BOB, { localSdpB: req.body }).catch((err) => srf.emit('failed', err.status));
  });

for (const { name, Srf } of releases) {
  const run = onSlowStore(Srf);

  describe(`${name}, a store that takes ${DELAY} ms`, () => {
    run('10 of 10 canceled calls of a B2BUA are canceled at the far end', connect, async (server) => {
      server.onInvite((callee) => callee.respond(180));
      const callees = [];
      server.on('callee', (callee) => callees.push(callee));
      const calls = Array.from({ length: 10 }, () => server.call());
      await Promise.all(calls.map((call) => call.response(180)));
      await Promise.all(calls.map((call) => call.cancel()));
      await until(
        () => callees.length === 10 && callees.every(({ canceled }) => canceled),
        'the far ends to be canceled'
      );
    });

    run('a retried INVITE that is canceled during the load reaches no handler', connect, async (server, srf, store) => {
      const reached = [];
      srf.on('reached', (req) => reached.push(req));
      server.on('callee', () => assert.fail('the far end is not called'));
      for (let count = 0; count < 3; count++) {
        store.asked = 0;
        const call = server.call({ headers: RETRY });
        await until(() => store.asked > 0, 'the load to begin');
        assert.equal((await call.cancel()).status, 487);
      }
      await new Promise((resolve) => {
        setTimeout(resolve, 2 * DELAY);
      });
      assert.deepEqual(reached, []);
    });

    run('a retried INVITE that is not canceled reaches its handler', connect, async (server, srf) => {
      const reached = once(srf, 'reached');
      const callee = server.callee();
      const call = server.call({ headers: RETRY });
      await Promise.all([reached, call.answered]);
      await call.bye();
      await (await callee).bye();
    });

    run(
      'a CANCEL while the final response waits for the store',
      (srf) =>
        srf.invite((req, res) => {
          req.session.caller = req.callingNumber;
          srf.createUAS(req, res, { localSdp: SDP('app') }).catch(() => srf.emit('failed'));
        }),
      async (server, srf, store) => {
        const failed = once(srf, 'failed');
        const call = server.call();
        await until(() => store.asked > 0, 'the save to begin');
        assert.equal((await call.cancel()).status, 487);
        await failed;
        await until(() => store.asked > 2, 'the session to be removed');
      }
    );
  });
}
