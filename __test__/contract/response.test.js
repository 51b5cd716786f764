'use strict';
// A final response leaves exactly once and in order, with all of its arguments, whatever the store does.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const session = require('../..');
const host = require('../../examples/classic-host');
const { FAULTS, FaultyStore } = require('../support/contract/faulty-store');
const { RedisServer } = require('../support/redis');
const { connected } = require('../support/contract/stores');
const { onEachStore, turn } = require('../support/contract/bench');
const { until } = require('../support/waiting');

const codes = ({ sent }) => sent.map(({ method, statusCode }) => `${method} ${statusCode}`);

// An application whose handlers read, change and answer, on a store that may fail.
function application(store) {
  const app = host();
  const failures = [];
  app.on('failure', (err) => failures.push(err));
  app.use(session({ store, app, timeout: 100 }));
  app.invite((req, res) => {
    req.session.user = 'jack jones';
    res.send(180);
    res.send(200, { body: 'v=0' });
  });
  app.ack((req) => (req.session.acked = true));
  app.info((req, res) => {
    req.session.digits = (req.session.digits || '') + req.body;
    res.send(200);
  });
  app.register((req, res) => {
    req.session.count = (req.session.count || 0) + 1;
    res.send(200);
  });
  app.bye((req, res) => res.send(200));
  return { app, failures };
}

// A call and a REGISTER while `begin` has made the store fail.
async function play(app, begin = () => undefined) {
  await begin();
  const call = app.peer.invite();
  assert.equal((await call.final()).body, 'v=0');
  await call.ack();
  await call.request('INFO', { body: '4' });
  await app.peer.request('REGISTER');
  await call.bye();
  await turn();
  await turn();
  assert.deepEqual(codes(app), ['INVITE 180', 'INVITE 200', 'INFO 200', 'REGISTER 200', 'BYE 200']);
  assert.deepEqual(app.refused, [], 'the host refused nothing: nothing was sent twice');
}

describe('a JavaScript store', () => {
  for (const fault of FAULTS) {
    for (const methods of [['get'], ['set'], ['destroy'], ['get', 'set', 'destroy']]) {
      it(`whose ${methods.join(', ')} ${fault}: each final response leaves once, in order`, async () => {
        const store = new FaultyStore();
        const { app, failures } = application(store);
        await play(app, () => methods.forEach((method) => (store.faults[method] = fault)));
        assert.deepEqual(failures, [], 'every handler ran through');
      });
    }
  }

  for (const fault of ['throws', 'errors', 'errors in the same turn', 'rejects', 'never calls back']) {
    it(`whose set ${fault}: the error is told, by the store's 'error' event`, async () => {
      const store = new FaultyStore();
      const { app } = application(store);
      store.faults.set = fault;
      await app.peer.invite().final();
      assert.equal(store.errors.length, 1);
      const code = fault === 'never calls back' ? 'ERR_SESSION_TIMEOUT' : 'ERR_SESSION_STORE';
      assert.equal(store.errors[0].code, code);
    });

    it(`whose get ${fault}: the handler runs, with an empty session that overwrites nothing`, async () => {
      const store = new FaultyStore();
      const { app } = application(store);
      const call = app.peer.invite();
      await call.final();
      store.faults.get = fault;
      await call.request('INFO', { body: '4' });
      delete store.faults.get;
      assert.notEqual(store.errors.length, 0);
      const mks = await session.Session.loadFromStorage({ store }, call.callId);
      assert.equal(mks.session.user, 'jack jones');
    });

    it(`whose set ${fault} gives that error to save(cb)`, async () => {
      const store = new FaultyStore();
      session({ store, timeout: 100 });
      const mks = new session.Session({ store }).set('a');
      store.faults.set = fault;
      await assert.rejects(mks.save(), { name: 'SessionError' });
      const err = await new Promise((resolve) => {
        mks.save(resolve);
      });
      assert.equal(err.name, 'SessionError');
    });
  }

  for (const fault of ['calls back twice', 'calls back in the same turn', 'calls back, then throws']) {
    it(`whose methods each ${fault.replace('calls', 'call')} works all the same, and nothing is left`, async () => {
      const store = new FaultyStore();
      const { app } = application(store);
      Object.assign(store.faults, { get: fault, set: fault, destroy: fault });
      const call = app.peer.invite();
      await call.final();
      await call.ack();
      await call.request('INFO', { body: '4' });
      const { session: data } = await session.Session.loadFromStorage({ store }, call.callId);
      assert.deepEqual({ ...data }, { user: 'jack jones', acked: true, digits: '4' });
      await call.bye();
      assert.equal(store.entries.size, 0);
      assert.deepEqual(store.errors, []);
    });
  }

  it('that is disconnected: requests are passed on, and responses leave; connected again, all is well', async () => {
    const store = new FaultyStore();
    const { app, failures } = application(store);
    const call = app.peer.invite();
    await call.final();
    store.emit('disconnect');
    Object.assign(store.faults, { get: 'never calls back', set: 'never calls back' });
    assert.equal((await call.request('INFO', { body: '1' })).statusCode, 200);
    store.faults = {};
    store.emit('connect');
    await call.request('INFO', { body: '2' });
    const { session: data } = await session.Session.loadFromStorage({ store }, call.callId);
    assert.deepEqual({ ...data }, { user: 'jack jones', digits: '12' });
    await call.bye();
    // the save that was never answered is given up at its deadline, and the rest is done after it
    await until(() => store.entries.size === 0, 'the session to be removed');
    assert.deepEqual(failures, []);
  });

  it('whose set fails: res.ack leaves all the same, once', async () => {
    const store = new FaultyStore();
    const { app } = application(store);
    let far;
    app.peer.onInvite((uac) => {
      far = uac;
      uac.respond(200);
    });
    store.faults.set = 'never calls back';
    await new Promise((resolve) => {
      app.siprequest('sip:b@example', {}, (err, req, res) => {
        req.session.x = 1;
        res.ack(resolve);
      });
    });
    await turn();
    assert.equal(far.requests.filter(({ method }) => method === 'ACK').length, 1);
  });
});

describe('RedisStore', () => {
  for (const [what, act] of [
    ['is killed', (redis) => redis.kill()],
    ['hangs', (redis) => redis.process.kill('SIGSTOP')],
    ['runs out of memory', (redis) => redis.cli('CONFIG', 'SET', 'maxmemory', '1')]
  ]) {
    it(`whose server ${what} before a call: each final response leaves once, in order`, async () => {
      const redis = await RedisServer.start();
      const store = await connected(new session.RedisStore({ host: redis.host, port: redis.port }));
      const errors = [];
      store.on('error', (err) => errors.push(err));
      const { app, failures } = application(store);
      try {
        await play(app, () => act(redis));
        assert.deepEqual(failures, []);
        assert.notEqual(errors.length, 0, 'the errors are told');
        errors.forEach((err) => assert.equal(err.name, 'SessionError'));
      } finally {
        if (redis.process.exitCode === null) redis.process.kill('SIGCONT');
        await redis.stop();
        await store.close({ timeout: 50 }).catch(() => undefined);
      }
    });
  }
});

onEachStore((test) => {
  test("res.send's arguments all arrive, the 4th and 5th too, and callbacks are called", async (bench) => {
    const { app } = bench;
    const opts = { body: 'v=0' };
    const [cb, ack] = [() => undefined, () => undefined];
    app.invite((req, res) => {
      req.session.x = 1;
      res.send(200, 'Fine', opts, cb, ack);
    });
    await app.peer.invite().final();
    const [{ args, reason, body }] = app.sent;
    assert.deepEqual(args, [200, 'Fine', opts, cb, ack]);
    assert.ok(args[2] === opts && args[3] === cb && args[4] === ack);
    assert.deepEqual([reason, body], ['Fine', 'v=0']);
  });

  test('a second final response does not leave', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.x = 1;
      res.send(200);
      try {
        res.send(486);
      } catch {
        // the host's own refusal, when the 200 has left already
      }
    });
    const call = app.peer.invite({ callId: 'twice' });
    await call.final();
    await call.ack();
    assert.deepEqual(codes(app), ['INVITE 200']);
    assert.deepEqual(await bench.stored('twice'), { x: 1 }, 'and it removes nothing');
  });

  test('a provisional response does not overtake the final one that waits for its save', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.x = 1;
      res.send(200);
      try {
        res.send(183);
      } catch {
        // the host's own refusal, when the 200 has left already
      }
    });
    const call = app.peer.invite();
    await call.final();
    await call.ack();
    assert.equal(codes(app)[0], 'INVITE 200');
  });

  test('responses to several requests of one dialog all leave', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => res.send(200));
    app.info((req, res) => {
      req.session[req.body] = true;
      res.send(200, { body: req.body });
    });
    const call = app.peer.invite({ callId: 'many' });
    await call.final();
    const bodies = Array.from({ length: 50 }, (_, index) => `n${index}`);
    const answers = await Promise.all(bodies.map((body) => call.request('INFO', { body })));
    assert.deepEqual(
      answers.map(({ body }) => body),
      bodies
    );
    assert.deepEqual(Object.keys(await bench.stored('many')).toSorted(), bodies.toSorted());
  });

  test('a response that the host refuses is told to the callback that was given, or as an error', async (bench) => {
    const { app } = bench;
    let heard;
    const told = new Promise((resolve) => {
      heard = resolve;
    });
    app.invite((req, res) => {
      req.session.x = 1;
      try {
        res.send(200, { body: 'v=0' }, heard);
      } catch (err) {
        heard(err);
      }
      // the host sends something of its own meanwhile, or has sent the 200 already
      if (app.sent.length === 0) Object.getPrototypeOf(res).send.call(res, 503);
      else heard(new Error('sent at once'));
    });
    await app.peer.invite().final();
    assert.ok((await told) instanceof Error);
    assert.equal(codes(app).length, 1);
  });
});
