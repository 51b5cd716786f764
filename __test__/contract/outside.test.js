'use strict';
// Requests outside any dialog: an empty session, or the one under their Call-ID; and answers to a challenge.

const assert = require('node:assert/strict');
const { onEachStore, echo, told } = require('../support/contract/bench');

const OUTSIDE = ['OPTIONS', 'REGISTER', 'MESSAGE', 'PUBLISH'];

onEachStore((test, kind) => {
  for (const method of OUTSIDE) {
    test(`${method}: an empty session; nothing is stored if the handler puts nothing in`, async (bench) => {
      const { app } = bench;
      let req;
      app[method.toLowerCase()]((request, res) => {
        req = request;
        res.send(200, { body: JSON.stringify(req.session) });
      });
      assert.deepEqual(told(await app.peer.request(method, { callId: 'outside' })), {});
      assert.deepEqual(req.mks.keys, ['mks:outside']);
      await bench.assertEmpty();
    });

    test(`${method}: stored if the handler puts something in, and there for the next one`, async (bench) => {
      const { app } = bench;
      app[method.toLowerCase()]((req, res) => {
        req.session.count = (req.session.count || 0) + 1;
        res.send(200, { body: JSON.stringify(req.session) });
      });
      assert.deepEqual(told(await app.peer.request(method, { callId: 'outside' })), { count: 1 });
      assert.deepEqual(await bench.stored('outside'), { count: 1 });
      assert.deepEqual(told(await app.peer.request(method, { callId: 'outside' })), { count: 2 });
      assert.deepEqual(await bench.stored('outside'), { count: 2 });
    });

    test(`${method}: refused, with something put in: that is kept`, async (bench) => {
      const { app } = bench;
      app[method.toLowerCase()]((req, res) => {
        req.session.tries = (req.session.tries || 0) + 1;
        res.send(403);
      });
      await app.peer.request(method, { callId: 'outside' });
      await app.peer.request(method, { callId: 'outside' });
      assert.deepEqual(await bench.stored('outside'), { tries: 2 });
    });
  }

  test('REGISTERs of a phone share a Call-ID, so they share a session; other phones have theirs', async (bench) => {
    const { app } = bench;
    app.register((req, res) => {
      (req.session.cseqs ??= []).push(req.get('cseq'));
      res.send(200, { body: JSON.stringify(req.session) });
    });
    const register = (callId, cseq) => app.peer.request('REGISTER', { callId, headers: { cseq } });
    await register('phone-1', '1 REGISTER');
    await register('phone-2', '7 REGISTER');
    assert.deepEqual(told(await register('phone-1', '2 REGISTER')), { cseqs: ['1 REGISTER', '2 REGISTER'] });
    assert.deepEqual(told(await register('phone-2', '8 REGISTER')), { cseqs: ['7 REGISTER', '8 REGISTER'] });
  });

  test('a REGISTER that is challenged and comes again with credentials', async (bench) => {
    const { app } = bench;
    app.register((req, res) => {
      if (req.has('authorization')) return res.send(req.session.nonce === 'n1' ? 200 : 403);
      req.session.nonce = 'n1';
      return res.send(401);
    });
    const register = (headers) => app.peer.request('REGISTER', { callId: 'phone', headers });
    assert.equal((await register()).statusCode, 401);
    assert.equal((await register({ authorization: 'Digest nonce=n1' })).statusCode, 200);
  });

  test('two REGISTERs with one Call-ID at the same moment: neither takes the data of the other', async (bench) => {
    const { app } = bench;
    app.register((req, res) => {
      req.session[req.get('x-contact')] = true;
      setImmediate(() => res.send(200));
    });
    const register = (contact) => app.peer.request('REGISTER', { callId: 'both', headers: { 'x-contact': contact } });
    await Promise.all([register('desk'), register('mobile')]);
    assert.deepEqual(await bench.stored('both'), { desk: true, mobile: true });
  });

  for (const [method, header, challenge] of [
    ['INVITE', 'proxy-authorization', 407],
    ['INVITE', 'authorization', 401],
    ['SUBSCRIBE', 'authorization', 401]
  ]) {
    const begin = (app, opts) => app.peer[method.toLowerCase()](opts);
    const answer = (req, res) => {
      if (req.has(header)) return res.send(200, { body: JSON.stringify(req.session) });
      req.session.nonce = 'n1';
      return res.send(challenge);
    };

    test(`${method} with ${header} goes on with the session of the challenged one`, async (bench) => {
      const { app } = bench;
      const uuids = [];
      app.use(method, (req, res, next) => next(uuids.push(req.mks.uuid) && undefined));
      app[method.toLowerCase()](answer);
      assert.equal((await begin(app, { callId: 'retry' }).final()).statusCode, challenge);
      const second = await begin(app, { callId: 'retry', headers: { [header]: 'Digest' } }).final();
      assert.deepEqual(told(second), { nonce: 'n1' });
      assert.equal(uuids[0], uuids[1]);
      app.bye((req, res) => res.send(200));
      await app.peer.request('BYE', { callId: 'retry', toTag: 'x' });
      await bench.assertEmpty();
    });

    if (kind.processes > 1) {
      test(`${method} with ${header}: also in another process`, async (bench) => {
        const other = bench.host(await bench.store());
        bench.app[method.toLowerCase()](answer);
        other[method.toLowerCase()](answer);
        await begin(bench.app, { callId: 'retry' }).final();
        const second = await begin(other, { callId: 'retry', headers: { [header]: 'Digest' } }).final();
        assert.deepEqual(told(second), { nonce: 'n1' });
      });
    }

    test(`${method} with ${header} whose challenge is forgotten has a new session`, async (bench) => {
      const { app } = bench;
      app[method.toLowerCase()](answer);
      const first = await begin(app, { callId: 'unknown', headers: { [header]: 'Digest' } }).final();
      assert.deepEqual(told(first), {});
      const mks = await bench.find('unknown');
      assert.deepEqual(mks.keys, ['mks:unknown']);
    });
  }

  test('the answer to a challenge that is refused leaves nothing', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.tries = (req.session.tries || 0) + 1;
      res.send(req.session.tries === 1 ? 401 : 403);
    });
    await app.peer.invite({ callId: 'refused' }).final();
    assert.deepEqual(await bench.stored('refused'), { tries: 1 });
    await app.peer.invite({ callId: 'refused', headers: { authorization: 'Digest' } }).final();
    await bench.assertEmpty();
  });

  test('a new INVITE without credentials does not take the session that is under its Call-ID', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      const was = JSON.stringify(req.session);
      req.session.secret = req.get('x-secret');
      res.send(200, { body: was });
    });
    await app.peer.invite({ callId: 'same', headers: { 'x-secret': 'old' } }).final();
    const second = app.peer.invite({ callId: 'same', headers: { 'x-secret': 'new' } });
    assert.deepEqual(told(await second.final()), {});
    assert.deepEqual(await bench.stored('same'), { secret: 'new' });
    app.bye(echo);
    await second.bye();
    await bench.assertEmpty();
  });
});
