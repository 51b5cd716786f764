'use strict';
// Requests that would have formed a dialog and are refused: there is no dialog, so nothing is kept.

const assert = require('node:assert/strict');
const { onEachStore, turn } = require('../support/contract/bench');
const { Monitor } = require('../support/network/monitor');

const REFUSALS = [300, 302, 403, 404, 408, 480, 486, 487, 488, 500, 503, 600, 603];

onEachStore((test, kind) => {
  test('a final response >= 300 keeps nothing, whatever the handler has put in', async (bench) => {
    const { app } = bench;
    for (const begin of ['invite', 'subscribe']) {
      app[begin]((req, res) => {
        req.session.user = 'jack jones';
        res.send(Number(req.get('x-status')));
      });
      for (const status of REFUSALS) {
        const final = await app.peer[begin]({ headers: { 'x-status': String(status) } }).final();
        assert.equal(final.statusCode, status);
        await bench.assertEmpty(`${begin} ${status}`);
      }
    }
  });

  test('what the handler of a refused INVITE has saved is removed before the response leaves', async (bench) => {
    const { app } = bench;
    let left;
    app.on('message', ({ statusCode }) => {
      if (statusCode === 486) left = bench.size();
    });
    let saved;
    app.invite(async (req, res) => {
      req.session.user = 'jack jones';
      await req.session.save();
      saved = await bench.size();
      res.send(486);
    });
    await app.peer.invite().final();
    assert.notEqual(saved, 0);
    assert.equal(await left, 0);
  });

  test('a save that is under way while the INVITE is refused does not survive it', async (bench) => {
    const { app } = bench;
    let outcome;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      outcome = req.session.save();
      res.send(486);
    });
    await app.peer.invite().final();
    await outcome;
    await bench.assertEmpty();
  });

  for (const status of [401, 407]) {
    test(`${status} keeps nothing if the handler has put nothing in`, async (bench) => {
      const { app } = bench;
      app.invite((req, res) => res.send(status));
      await app.peer.invite().final();
      await bench.assertEmpty();
    });

    test(`${status} keeps what the handler has put in`, async (bench) => {
      const { app } = bench;
      app.invite((req, res) => {
        req.session.nonce = 'n1';
        res.send(status);
      });
      await app.peer.invite({ callId: 'challenged' }).final();
      assert.deepEqual(await bench.stored('challenged'), { nonce: 'n1' });
    });

    if (kind.redis) {
      test(`${status}: for a short time, until the retry is accepted`, async (bench) => {
        const { app, redis } = bench;
        app.invite((req, res) => {
          if (req.has('authorization')) return res.send(200);
          req.session.nonce = 'n1';
          return res.send(status);
        });
        const ttls = async () => {
          const names = (await redis.cli('KEYS', '*')).split('\n');
          return Promise.all(names.map(async (name) => Number(await redis.cli('PTTL', name))));
        };
        await app.peer.invite({ callId: 'challenged' }).final();
        for (const ttl of await ttls()) assert.ok(ttl > 0 && ttl <= 120000, `${ttl} ms of the challenged INVITE`);
        await app.peer.invite({ callId: 'challenged', headers: { authorization: 'Digest' } }).final();
        const after = await ttls();
        assert.notEqual(after.length, 0);
        for (const ttl of after) assert.ok(ttl > 3600000 || ttl === -1, `${ttl} ms of the accepted one`);
      });
    }
  }

  if (kind.ours && kind.redis) {
    test('a refused INVITE that was not saved costs Redis no command at all', async (bench) => {
      const { app, redis } = bench;
      app.invite((req, res) => {
        Object.assign(req.session, { user: 'jack jones', at: new Date() });
        res.send(180);
        res.send(486);
      });
      app.subscribe((req, res) => res.send(403));
      const monitor = await Monitor.start(redis);
      try {
        await Promise.all(Array.from({ length: 100 }, () => app.peer.invite().final()));
        await Promise.all(Array.from({ length: 100 }, () => app.peer.subscribe().final()));
        await turn();
        assert.deepEqual(await monitor.take(), []);
      } finally {
        monitor.stop();
      }
      const commands = app.sent.filter(({ statusCode }) => statusCode >= 300);
      assert.equal(commands.length, 200);
    });

    test('... and a challenged one neither, if the handler has put nothing in', async (bench) => {
      const { app, redis } = bench;
      app.invite((req, res) => res.send(407));
      const monitor = await Monitor.start(redis);
      try {
        await Promise.all(Array.from({ length: 100 }, () => app.peer.invite().final()));
        assert.deepEqual(await monitor.take(), []);
      } finally {
        monitor.stop();
      }
    });
  }

  if (!kind.ours) {
    test('a refused INVITE that was not saved costs the store no call', async (bench) => {
      const { app, first: store } = bench;
      const calls = [];
      for (const method of ['get', 'set', 'destroy']) {
        const own = store[method];
        store[method] = (...args) => (calls.push(method), own.apply(store, args));
      }
      app.invite((req, res) => {
        req.session.user = 'jack jones';
        res.send(486);
      });
      await app.peer.invite().final();
      assert.deepEqual(calls, []);
    });
  }

  test('an INVITE that no handler takes: the host answers 404, nothing is kept', async (bench) => {
    const { app } = bench;
    assert.equal((await app.peer.invite().final()).statusCode, 404);
    await bench.assertEmpty();
  });

  test('an INVITE whose handler throws: the host answers 500, nothing is kept', async (bench) => {
    const { app } = bench;
    app.invite((req) => {
      req.session.user = 'jack jones';
      throw new Error('as it happens');
    });
    assert.equal((await app.peer.invite().final()).statusCode, 500);
    assert.deepEqual(
      bench.failures.splice(0).map(({ message }) => message),
      ['as it happens']
    );
    await bench.assertEmpty();
  });
});
