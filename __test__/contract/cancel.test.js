'use strict';
// CANCEL from the network, on classic drachtio: as the pending INVITE, whose key is removed with it.

const assert = require('node:assert/strict');
const { onEachStore, turn } = require('../support/contract/bench');

const codes = ({ sent }) => sent.map(({ method, statusCode }) => `${method} ${statusCode}`);

onEachStore((test) => {
  test('CANCEL before the handler has answered: it finds the session, and the key goes with it', async (bench) => {
    const { app } = bench;
    let pending;
    let seen;
    app.invite((req, res) => {
      pending = { req, res };
      req.session.user = 'jack jones';
      res.send(180);
    });
    app.cancel((req, res) => {
      seen = [req.mks, { ...req.session }];
      res.send(200);
    });
    const call = app.peer.invite();
    await turn();
    await turn();
    await call.cancel();
    assert.deepEqual(seen, [pending.req.mks, { user: 'jack jones' }]);
    assert.deepEqual(codes(app), ['INVITE 180', 'INVITE 487', 'CANCEL 200']);
    await bench.assertEmpty();

    pending.req.session.late = true;
    pending.res.send(200);
    await bench.app.peer.request('OPTIONS', { callId: 'sync' });
    assert.deepEqual(
      app.refused.map(({ statusCode, why }) => [statusCode, why]),
      [[200, 'canceled']],
      "the handler's answer went to the host, once"
    );
    await bench.assertEmpty('an answer that comes too late stores nothing');
  });

  test('CANCEL of an INVITE whose handler has saved: nothing is left', async (bench) => {
    const { app } = bench;
    let saved;
    const done = new Promise((resolve) => {
      saved = resolve;
    });
    app.invite(async (req, res) => {
      req.session.user = 'jack jones';
      res.send(180);
      await req.session.save();
      saved();
    });
    const call = app.peer.invite();
    await done;
    assert.notEqual(await bench.size(), 0);
    await call.cancel();
    assert.equal((await call.final()).statusCode, 487);
    await bench.assertEmpty();
  });

  test('CANCEL while the handler saves: nothing is left', async (bench) => {
    const { app } = bench;
    let outcome;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(180);
      setImmediate(() => {
        outcome = req.session.save().then(
          () => 'saved',
          (err) => err.code
        );
      });
    });
    const call = app.peer.invite();
    await turn();
    await call.cancel();
    assert.ok(['saved', 'ERR_SESSION_GONE'].includes(await outcome), await outcome);
    await bench.assertEmpty();
  });

  test('CANCEL while the 200 waits for its save: the INVITE was canceled, nothing is left', async (bench) => {
    const { app } = bench;
    let done;
    app.use((req, res, next) => {
      if (req.method === 'INVITE') done = req;
      next();
    });
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
      // the CANCEL is in the socket already: it is handled in the next turn
      answered = true;
    });
    let answered = false;
    const call = app.peer.invite();
    const canceled = call.cancel();
    await canceled;
    await call.final();
    assert.equal(answered, true);
    const finals = app.sent.filter(({ method }) => method === 'INVITE').map(({ statusCode }) => statusCode);
    if (done.canceled) {
      assert.deepEqual(finals, [487]);
      await bench.becomesEmpty();
    } else {
      assert.deepEqual(finals, [200], 'a CANCEL after the final response has no effect');
      assert.notEqual(await bench.size(), 0);
    }
  });

  test('CANCEL after the handler has answered has no effect: the call goes on', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
    });
    app.bye((req, res) => res.send(200));
    const call = app.peer.invite({ callId: 'answered' });
    await call.final();
    await call.cancel();
    assert.deepEqual(await bench.stored('answered'), { user: 'jack jones' });
    await call.bye();
    await bench.assertEmpty();
  });

  test('a CANCEL that reaches the middleware after the answer leaves the session alone', async (bench) => {
    // a host that passes every CANCEL on
    const { app } = bench;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
    });
    app.cancel((req, res) => res.send(200));
    await app.peer.invite({ callId: 'passed-on' }).final();
    const headers = { 'call-id': 'passed-on', to: '<sip:app@host.example>', cseq: '1 CANCEL' };
    const { Request, Response } = require('../../examples/classic-host');
    const req = new Request('network', { method: 'CANCEL', headers });
    await new Promise((resolve) => {
      app.handle(req, new Response(app, req, undefined, resolve), () => undefined);
    });
    assert.deepEqual(await bench.stored('passed-on'), { user: 'jack jones' });
  });

  test('CANCEL without a handler: the key is removed when the host answers it', async (bench) => {
    const { app } = bench;
    app.invite(async (req, res) => {
      req.session.user = 'jack jones';
      await req.session.save();
      res.send(180);
    });
    const call = app.peer.invite();
    await new Promise((resolve) => {
      app.on('message', ({ statusCode }) => statusCode === 180 && resolve());
    });
    await call.cancel();
    await bench.assertEmpty();
  });

  test('CANCEL of leg A of a B2BUA: leg B is canceled by the application, and nothing is left', async (bench) => {
    const { app } = bench;
    let uacReq;
    let legB;
    const ended = new Promise((resolve) => {
      app.invite((req, res) => {
        uacReq = app.siprequest('sip:b@example', { session: req.session }, (err, sent, uacRes) => {
          if (uacRes.statusCode < 200) return;
          if (sent.mks) sent.session.legB = uacRes.statusCode;
          if (req.active) res.send(uacRes.statusCode);
          resolve(uacRes.statusCode);
        });
        req.session.user = 'jack jones';
      });
    });
    const canceled = new Promise((resolve) => {
      app.cancel((req, res) => {
        uacReq.cancel((err, sent, uacRes) => resolve(uacRes.statusCode));
        res.send(200);
      });
    });
    const invited = new Promise((resolve) => {
      app.peer.onInvite((uac) => {
        legB = uac;
        uac.respond(180).then(resolve);
      });
    });
    const call = app.peer.invite();
    await invited;
    await call.cancel();
    assert.equal((await call.final()).statusCode, 487);
    assert.equal(await ended, 487);
    assert.equal(await canceled, 200);
    assert.equal(legB.canceled, true);
    await bench.assertEmpty();
  });
});
