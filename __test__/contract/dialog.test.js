'use strict';
// Requests from the network that form a dialog, or belong to one.

const assert = require('node:assert/strict');
const session = require('../..');
const { onEachStore, echo, told, turn } = require('../support/contract/bench');

const IN_DIALOG = ['INFO', 'UPDATE', 'PRACK', 'NOTIFY', 'REFER', 'MESSAGE', 'OPTIONS', 'INVITE'];

onEachStore((test) => {
  for (const method of ['INVITE', 'SUBSCRIBE']) {
    test(`a new ${method} has a new session, keyed by its Call-ID`, async (bench) => {
      const { app } = bench;
      const seen = [];
      app[method.toLowerCase()]((req, res) => {
        seen.push([{ ...req.session }, [...req.mks.keys], req.mks.uuid]);
        req.session.user = 'jack jones';
        res.send(200);
      });
      const begin = (callId) => app.peer[method.toLowerCase()]({ callId }).final();
      await begin('one');
      await begin('two');
      assert.deepEqual([seen[0][0], seen[0][1]], [{}, ['mks:one']]);
      assert.deepEqual([seen[1][0], seen[1][1]], [{}, ['mks:two']]);
      assert.match(seen[0][2], /^mks:session:[\da-f-]{36}$/);
      assert.notEqual(seen[0][2], seen[1][2]);
      assert.equal((await bench.find('one')).uuid, seen[0][2]);
    });

    test(`a new ${method}: what the handler has set is in the store before the final response leaves`, async (bench) => {
      const { app } = bench;
      let inStore;
      app.on('message', ({ statusCode }) => {
        if (statusCode === 200) inStore = bench.stored('early');
      });
      app[method.toLowerCase()]((req, res) => {
        req.session.user = 'jack jones';
        res.send(200);
      });
      await app.peer[method.toLowerCase()]({ callId: 'early' }).final();
      assert.deepEqual(await inStore, { user: 'jack jones' });
    });

    test(`a new ${method} that is accepted is in the store even if nothing was put in`, async (bench) => {
      const { app } = bench;
      app[method.toLowerCase()]((req, res) => res.send(202));
      await app.peer[method.toLowerCase()]({ callId: 'empty' }).final();
      const mks = await bench.find('empty');
      assert.deepEqual([mks.keys, { ...mks.session }], [['mks:empty'], {}]);
    });
  }

  test('the handler of a new INVITE runs in the same turn of the event loop', ({ first }) => {
    const middleware = session({ store: first });
    let ran = false;
    const headers = { to: '<sip:b@example>', 'call-id': 'now' };
    const req = { method: 'INVITE', source: 'network', get: (name) => headers[name] };
    middleware(req, { send: () => undefined }, () => (ran = true));
    assert.equal(ran, true);
  });

  test('provisional responses pass straight through, and save nothing', async (bench) => {
    const { app } = bench;
    app.invite(async (req, res) => {
      req.session.user = 'jack jones';
      res.send(100);
      res.send(180, { headers: { 'x-ring': '1' } });
      assert.equal(app.sent.length, 2, 'both have left already');
      assert.equal(await bench.size(), 0);
      res.send(183, 'Progress', { body: 'v=0' });
      assert.equal(app.sent.length, 3);
      res.send(200);
    });
    await app.peer.invite({ callId: 'ringing' }).final();
    assert.deepEqual(
      app.sent.map(({ statusCode }) => statusCode),
      [100, 180, 183, 200]
    );
    assert.deepEqual(app.sent[1].headers, { 'x-ring': '1' });
    assert.deepEqual([app.sent[2].reason, app.sent[2].body], ['Progress', 'v=0']);
    assert.deepEqual(await bench.stored('ringing'), { user: 'jack jones' });
  });

  for (const method of IN_DIALOG) {
    test(`${method} in a dialog finds the session; its changes are stored before the response leaves`, async (bench) => {
      const { app } = bench;
      app.use('invite', (req, res, next) => {
        if (!req.isNewInvite()) return next();
        req.session.user = 'jack jones';
        return res.send(200);
      });
      app[method.toLowerCase()]((req, res) => {
        const { user } = req.session;
        req.session.last = method;
        res.send(200, { body: user });
      });
      const call = app.peer.invite({ callId: 'dialog' });
      await call.final();
      let inStore;
      app.on('message', ({ statusCode }) => {
        if (statusCode === 200) inStore = bench.stored('dialog');
      });
      const answer = await call.request(method);
      assert.equal(answer.body, 'jack jones');
      assert.deepEqual(await inStore, { user: 'jack jones', last: method });
    });
  }

  test('ACK finds the session, and what its handler changes is stored', async (bench) => {
    const { app } = bench;
    let seen;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
    });
    app.ack((req) => {
      seen = { ...req.session };
      req.session.acked = true;
    });
    app.info(echo);
    const call = app.peer.invite();
    await call.final();
    await call.ack();
    assert.deepEqual(seen, { user: 'jack jones' });
    assert.deepEqual(told(await call.request('INFO')), { user: 'jack jones', acked: true });
  });

  test('a request in a dialog may remove properties, and change what is deep inside one', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      Object.assign(req.session, { gone: 1, deep: { list: [{ a: 1 }] }, stays: true });
      res.send(200);
    });
    app.info((req, res) => {
      delete req.session.gone;
      req.session.deep.list[0].b = 2;
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'deep' });
    await call.final();
    await call.request('INFO');
    assert.deepEqual(await bench.stored('deep'), { deep: { list: [{ a: 1, b: 2 }] }, stays: true });
  });

  test('a request in a dialog that is refused saves what has changed and keeps the session', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.x = 1;
      res.send(req.isNewInvite() ? 200 : 488);
    });
    app.info((req, res) => {
      req.session.x = 2;
      res.send(500);
    });
    const call = app.peer.invite({ callId: 'refused' });
    await call.final();
    await call.request('INVITE');
    assert.deepEqual(await bench.stored('refused'), { x: 1 });
    await call.request('INFO');
    assert.deepEqual(await bench.stored('refused'), { x: 2 });
  });

  test('a request in an unknown dialog has an empty session, and leaves nothing', async (bench) => {
    const { app } = bench;
    app.info(echo);
    app.bye(echo);
    assert.deepEqual(told(await app.peer.request('INFO', { callId: 'who', toTag: 'x' })), {});
    assert.deepEqual(told(await app.peer.request('BYE', { callId: 'who', toTag: 'x' })), {});
    await bench.assertEmpty();
  });

  for (const method of ['PRACK', 'UPDATE', 'INFO']) {
    test(`an early ${method} finds the session of the pending INVITE, as it stands`, async (bench) => {
      const { app } = bench;
      let pending;
      let answer;
      app.invite((req, res) => {
        pending = req;
        answer = () => res.send(200);
        req.session.user = 'jack jones';
        res.send(183);
      });
      app[method.toLowerCase()]((req, res) => {
        assert.equal(req.mks, pending.mks);
        assert.equal(req.session, pending.session);
        req.session.early = method;
        res.send(200, { body: req.session.user });
      });
      const call = app.peer.invite({ callId: 'pending' });
      await turn();
      const early = await call.request(method);
      assert.equal(early.body, 'jack jones');
      assert.deepEqual({ ...pending.session }, { user: 'jack jones', early: method });
      answer();
      await call.final();
      assert.deepEqual(await bench.stored('pending'), { user: 'jack jones', early: method });
    });

    test(`an early ${method} of an INVITE that is refused in the end leaves nothing`, async (bench) => {
      const { app } = bench;
      let refuse;
      app.invite((req, res) => {
        refuse = () => res.send(486);
        req.session.user = 'jack jones';
        res.send(183);
      });
      app[method.toLowerCase()]((req, res) => {
        req.session.early = method;
        res.send(200);
      });
      const call = app.peer.invite();
      await turn();
      await call.request(method);
      refuse();
      await call.final();
      await bench.assertEmpty();
    });
  }

  test('BYE finds the session; its changes are made, then its key and the session are removed', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(200);
    });
    let during;
    app.bye(async (req, res) => {
      during = [{ ...req.session }, await bench.size()];
      req.session.ended = true;
      res.send(200);
      assert.equal(req.session.user, 'jack jones', 'still there for the rest of the handler');
    });
    let left;
    app.on('message', ({ method, statusCode }) => {
      if (method === 'BYE' && statusCode) left = bench.size();
    });
    const call = app.peer.invite();
    await call.final();
    await call.ack();
    await call.bye();
    assert.deepEqual(during[0], { user: 'jack jones' });
    assert.notEqual(during[1], 0);
    assert.equal(await left, 0, 'removed before the response leaves');
  });

  test('BYE of one of two keys keeps the session, with its changes; the last one removes it', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.mks.set('other-leg');
      req.session.user = 'jack jones';
      res.send(200);
    });
    app.bye((req, res) => {
      req.session.ended = req.get('call-id');
      res.send(200);
    });
    await app.peer.invite({ callId: 'this-leg' }).final();
    await app.peer.request('BYE', { callId: 'this-leg', toTag: 'x' });
    assert.equal(await bench.stored('this-leg'), undefined);
    const mks = await bench.find('other-leg');
    assert.deepEqual([mks.keys, { ...mks.session }], [['mks:other-leg'], { user: 'jack jones', ended: 'this-leg' }]);
    await app.peer.request('BYE', { callId: 'other-leg', toTag: 'x' });
    await bench.assertEmpty();
  });

  test('BYE that is answered with an error ends the dialog all the same; a challenged one does not', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => res.send(200));
    app.bye((req, res) => res.send(req.has('authorization') ? 481 : 401));
    await app.peer.invite({ callId: 'bye' }).final();
    await app.peer.request('BYE', { callId: 'bye', toTag: 'x' });
    assert.notEqual(await bench.size(), 0);
    await app.peer.request('BYE', { callId: 'bye', toTag: 'x', headers: { authorization: 'Digest' } });
    await bench.assertEmpty();
  });

  test('200 calls at the same time: each has its own data, and nothing is left', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.caller = req.get('call-id');
      res.send(200);
    });
    app.bye(echo);
    const one = async (index) => {
      const call = app.peer.invite({ callId: `call-${index}` });
      await call.final();
      await call.ack();
      return told(await call.bye());
    };
    const all = await Promise.all(Array.from({ length: 200 }, (_, index) => one(index)));
    all.forEach((data, index) => assert.deepEqual(data, { caller: `call-${index}` }));
    await bench.assertEmpty();
  });
});
