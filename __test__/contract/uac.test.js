'use strict';
// Responses to requests that the application sent: classic drachtio runs them through the middleware too.

const assert = require('node:assert/strict');
const { onEachStore, echo, told } = require('../support/contract/bench');

// Sends an INVITE of the application's own -> {req, res, codes}, once its callback has had a final response.
const invite = (app, opts, onFinal = (req, res) => res.ack()) =>
  new Promise((resolve, reject) => {
    const codes = [];
    app.siprequest('sip:callee@b.example', opts, (err, req, res) => {
      if (err) return reject(err);
      codes.push(res.statusCode);
      if (res.statusCode < 200) return undefined;
      onFinal(req, res);
      return resolve({ req, res, codes });
    });
  });

const bye = (app, callId) =>
  new Promise((resolve) => {
    app.siprequest.bye({ headers: { 'call-id': callId } }, (err, req, res) => resolve({ err, req, res }));
  });

onEachStore((test) => {
  test('an INVITE of the application without a session gets a new one, saved by res.ack()', async (bench) => {
    const { app } = bench;
    let far;
    app.peer.onInvite((uac) => {
      far = uac;
      uac.respond(200);
    });
    let before;
    const { req } = await invite(app, { headers: { 'call-id': 'mine' } }, async (sent, res) => {
      assert.deepEqual({ ...sent.session }, {});
      assert.deepEqual(sent.mks.keys, ['mks:mine']);
      sent.session.user = 'jack jones';
      before = await bench.size();
      res.ack();
    });
    await far.received('ACK');
    assert.equal(before, 0, 'nothing is stored before the ack');
    const mks = await bench.find('mine');
    assert.deepEqual([mks.uuid, { ...mks.session }], [req.mks.uuid, { user: 'jack jones' }]);
  });

  test('the session is in the store before the ACK leaves, and res.ack keeps its arguments', async (bench) => {
    const { app } = bench;
    let inStore;
    app.on('message', ({ method, direction }) => {
      if (method === 'ACK' && direction === 'out') inStore = bench.stored('mine');
    });
    let far;
    app.peer.onInvite((uac) => {
      far = uac;
      uac.respond(200);
    });
    const acked = new Promise((resolve) => {
      invite(app, { headers: { 'call-id': 'mine' } }, (req, res) => {
        req.session.user = 'jack jones';
        res.ack({ body: 'v=0 (late offer)' }, (err, sent) => resolve([err, sent === req]));
      });
    });
    assert.deepEqual(await acked, [null, true]);
    const ack = await far.received('ACK');
    assert.equal(ack.body, 'v=0 (late offer)');
    assert.equal(far.requests.filter(({ method }) => method === 'ACK').length, 1);
    assert.deepEqual(await inStore, { user: 'jack jones' });
  });

  test('provisional responses and the final one have the same session', async (bench) => {
    const { app } = bench;
    const seen = [];
    app.peer.onInvite(async (uac) => {
      await uac.respond(180);
      await uac.respond(183);
      await uac.respond(200);
    });
    await new Promise((resolve) => {
      app.siprequest('sip:b@example', { headers: { 'call-id': 'mine' } }, (err, req, res) => {
        seen.push(req.mks.uuid);
        req.session[res.statusCode] = true;
        if (res.statusCode === 200) res.ack(resolve);
      });
    });
    assert.equal(seen.length, 3);
    assert.equal(new Set(seen).size, 1);
    assert.deepEqual(await bench.stored('mine'), { 180: true, 183: true, 200: true });
  });

  test('a request in that dialog finds the session, and its BYE from the network ends it', async (bench) => {
    const { app } = bench;
    app.info(echo);
    app.bye(echo);
    let far;
    app.peer.onInvite((uac) => {
      far = uac;
      uac.respond(200);
    });
    await invite(app, {}, (req, res) => {
      req.session.user = 'jack jones';
      res.ack();
    });
    await far.received('ACK');
    assert.deepEqual(told(await far.request('INFO')), { user: 'jack jones' });
    assert.deepEqual(told(await far.bye()), { user: 'jack jones' });
    await bench.assertEmpty();
  });

  test("the response to the application's re-INVITE loads the session; saved by res.ack()", async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'held' });
    call.onRequest(200);
    await call.final();
    await call.ack();
    const user = await new Promise((resolve) => {
      app.siprequest('sip:a@example', { headers: { 'call-id': 'held' } }, (err, req, res) => {
        req.session.onHold = true;
        res.ack(() => resolve(req.session.user));
      });
    });
    assert.equal(user, 'jack jones');
    assert.deepEqual(await bench.stored('held'), { user: 'jack jones', onHold: true });
    app.bye(echo);
    await call.bye();
    await bench.assertEmpty();
  });

  test('a response of a refused INVITE keeps nothing', async (bench) => {
    const { app } = bench;
    app.peer.onInvite((uac) => uac.respond(486));
    const { codes } = await invite(app, {}, (req, res) => {
      req.session.reason = res.reason;
      res.ack();
    });
    assert.deepEqual(codes, [486]);
    await bench.assertEmpty();
  });

  test("the response to the application's BYE: the key is removed before its callback runs", async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'over' });
    await call.final();
    await call.ack();
    assert.notEqual(await bench.size(), 0);
    const { err, res, left } = await new Promise((resolve) => {
      app.siprequest.bye({ headers: { 'call-id': 'over' } }, async (failed, req, response) =>
        resolve({ err: failed, res: response, left: await bench.size() })
      );
    });
    assert.equal(err, undefined);
    assert.equal(res.statusCode, 200);
    assert.equal(left, 0);
  });

  test("the callback of the application's BYE still sees the data", async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'read' });
    await call.final();
    const { req } = await bye(app, 'read');
    assert.equal(req.session.user, 'jack jones');
    await bench.assertEmpty();
  });

  test("the application's BYE for one of two keys keeps the session for the other", async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.mks.set('other-leg');
      req.session.user = 'jack jones';
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'this-leg' });
    await call.final();
    await bye(app, 'this-leg');
    assert.equal(await bench.stored('this-leg'), undefined);
    assert.deepEqual(await bench.stored('other-leg'), { user: 'jack jones' });
  });

  test("an application's BYE that is answered 481 or 408 ends the dialog; a challenged one does not", async (bench) => {
    const { app } = bench;
    app.invite((req, res) => res.send(200));
    for (const status of [481, 408, 407, 401]) {
      const call = app.peer.invite({ callId: `bye-${status}` });
      call.onRequest(status);
      await call.final();
      await bye(app, call.callId);
      const found = await bench.find(call.callId);
      assert.equal(Boolean(found), status === 407 || status === 401, String(status));
    }
  });

  test('responses to other requests of the application have the session of the dialog', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'info' });
    await call.final();
    await call.ack();
    for (const method of ['info', 'update', 'options', 'message']) {
      const user = await new Promise((resolve) => {
        app.siprequest[method]({ headers: { 'call-id': 'info' } }, (err, req) => resolve(req.session.user));
      });
      assert.equal(user, 'jack jones', method);
    }
    assert.deepEqual(await bench.stored('info'), { user: 'jack jones' });
  });
});
