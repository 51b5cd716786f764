'use strict';
// Where two things happen at once, or something of the application fails, on the native stores.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { test } = require('node:test');
const session = require('../..');
const host = require('../../examples/classic-host');
const { RedisServer } = require('../support/redis');

// Two stores on one Redis are two processes as far as sessions are concerned: nothing is shared but the server.
async function twoProcesses(t) {
  const server = await RedisServer.start();
  const options = { host: server.host, port: server.port, cache: false };
  const stores = [1, 2].map(() => new session.RedisStore(options));
  t.after(async () => {
    await Promise.all(stores.map((store) => store.close()));
    await server.stop();
  });
  await Promise.all(stores.map((store) => once(store, 'connect')));
  return { server, stores };
}

const find = (store, id) => session.Session.loadFromStorage({ store }, id);

function request(method, id, more = {}) {
  return {
    method,
    id,
    source: 'network',
    get: (name) => (name === 'to' ? '<sip:b@example>;tag=1' : undefined),
    ...more
  };
}

test('a key that another process has removed does not take the session of this one along', async (t) => {
  const { server, stores } = await twoProcesses(t);
  const [here, there] = stores;
  const begun = new session.Session({ store: here }).set('a').set('b');
  await begun.save();
  const middleware = session({ store: here });
  // the BYE of leg A is answered when leg B's has been, and that ends in the other process first
  const bye = request('BYE', 'a');
  const res = {};
  const sent = new Promise((resolve) => {
    res.send = resolve;
  });
  await new Promise((resolve) => {
    middleware(bye, res, resolve);
  });
  await (await find(there, 'b')).del('b');
  const answered = { method: 'BYE', id: 'b', source: 'application', get: () => '<sip:b@example>;tag=1' };
  await new Promise((resolve) => {
    middleware(answered, { statusCode: 481 }, resolve);
  });
  bye.session.cdr = 'written';
  res.send(200);
  assert.equal(await sent, 200);
  assert.equal(await server.size(), 0);
});

test('a load that is merged while a save is on its way is not sent as ours later', async (t) => {
  const { stores } = await twoProcesses(t);
  const [here, there] = stores;
  const mine = new session.Session({ store: here }).set('a');
  Object.assign(mine.session, { x: 0, y: 0 });
  await mine.save();
  mine.retain();
  const theirs = await find(there, 'a');
  theirs.session.x = 1;
  await theirs.save();
  const loading = find(here, 'a');
  mine.session.y = 1;
  const saving = mine.save();
  assert.equal(await loading, mine, 'one object for one session');
  await saving;
  assert.deepEqual({ ...mine.session }, { x: 1, y: 1 });
  theirs.session.x = 2;
  await theirs.save();
  mine.session.y = 2;
  await mine.save();
  assert.deepEqual({ ...(await find(there, 'a')).session }, { x: 2, y: 2 });
});

test('a resource that another process has changed is not written back by one that only read', async (t) => {
  const { stores } = await twoProcesses(t);
  const [here, there] = stores;
  const mine = new session.Session({ store: here }).set('a', { n: 1 });
  await mine.save();
  mine.retain();
  assert.deepEqual(mine.get('a'), { n: 1 });
  const theirs = await find(there, 'a');
  theirs.set('a', { n: 2 }).set('b');
  await theirs.save();
  assert.equal(await find(here, 'a'), mine);
  assert.deepEqual([mine.keys, mine.get('a')], [['mks:a', 'mks:b'], { n: 2 }]);
  await mine.save();
  assert.deepEqual((await find(there, 'b')).get('a'), { n: 2 });
});

test('a handler that throws is called once, with its session', async (t) => {
  const { stores } = await twoProcesses(t);
  for (const store of [stores[0], new session.MemoryStore()]) {
    const mks = new session.Session({ store }).set('a');
    mks.session.x = 1;
    await mks.save();
    const seen = [];
    const thrown = new Promise((resolve) => {
      const before = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (err) => {
        before.forEach((listener) => process.on('uncaughtException', listener));
        resolve(err);
      });
    });
    const req = request('INFO', 'a');
    const next = () => {
      seen.push(req.session.x);
      throw new Error('of the handler');
    };
    try {
      session({ store })(req, { send: () => undefined }, next);
    } catch (err) {
      process.emit('uncaughtException', err);
    }
    assert.equal((await thrown).message, 'of the handler');
    assert.deepEqual(seen, [1]);
  }
});

test('a 2xx that crosses the CANCEL of the application reaches it', async () => {
  const store = new session.MemoryStore();
  const req = { method: 'INVITE', id: 'b', source: 'application', canceled: true, get: () => '<sip:b@example>' };
  let acked = 0;
  const res = { statusCode: 200, ack: () => acked++ };
  await new Promise((resolve) => {
    session({ store })(req, res, resolve);
  });
  res.ack();
  assert.equal(acked, 1);
  assert.equal(await store.length(), 1);
});

test('a session of others on a request is left alone', () => {
  const mine = { foo: 1 };
  const req = { method: 'INVITE', id: 'b', source: 'application', session: mine, get: () => '<sip:b@example>' };
  let called = 0;
  session()(req, { statusCode: 200, ack: () => undefined }, () => called++);
  assert.deepEqual([called, req.session], [1, mine]);
});

test('a challenged INVITE of the application keeps its only key; beside another leg it waits for the retry', async () => {
  const store = new session.MemoryStore();
  const middleware = session({ store });
  for (const [keys, afterwards] of [
    [['b'], ['mks:b']],
    [['a', 'b'], ['mks:a']]
  ]) {
    const mks = new session.Session({ store });
    keys.forEach((key) => mks.set(key));
    mks.session.x = 1;
    const req = { method: 'INVITE', id: 'b', source: 'application', get: () => '<sip:b@example>' };
    mks.attachTo(req);
    middleware(req, { statusCode: 407 }, () => undefined);
    assert.deepEqual(mks.keys, afterwards);
    const res = { statusCode: 200, ack: () => undefined };
    middleware(req, res, () => undefined);
    res.ack();
    assert.equal((await find(store, 'b')).session.x, 1, 'the answer to the challenge was accepted');
    await mks.destroy();
  }
});

test('what the host throws for a late ack does not end the process', async (t) => {
  const { stores } = await twoProcesses(t);
  const [store] = stores;
  const heard = once(store, 'error');
  const req = { method: 'INVITE', id: 'b', source: 'application', get: () => '<sip:b@example>' };
  const res = {
    statusCode: 200,
    ack() {
      throw new Error('no such dialog');
    }
  };
  await new Promise((resolve) => {
    session({ store })(req, res, resolve);
  });
  res.ack();
  assert.equal((await heard)[0].code, 'ERR_SESSION_RESPONSE');
});

test('a store that hangs is one error event, whatever comes meanwhile', async (t) => {
  const { server, stores } = await twoProcesses(t);
  const [store] = stores;
  session({ store, timeout: 50 });
  const errors = [];
  store.on('error', (err) => errors.push(err.code));
  server.process.kill('SIGSTOP');
  const app = host();
  app.use(session({ store, app, timeout: 50 }));
  app.options((req, res) => {
    req.session.x = 1;
    res.send(200);
  });
  for (let i = 0; i < 5; i++) assert.equal((await app.peer.request('OPTIONS')).statusCode, 200);
  server.process.kill('SIGCONT');
  assert.equal(new Set(errors).size, errors.length, 'each code once');
  assert.notEqual(errors.length, 0);
});

test('after regenerate in a pending INVITE early requests find the new session', async () => {
  const store = new session.MemoryStore();
  const app = host();
  app.use(session({ store, app }));
  const ringing = new Promise((resolve) => {
    app.invite(async (req, res) => {
      await store.regenerate(req);
      req.session.fresh = true;
      res.send(183);
      resolve(res);
    });
  });
  app.update((req, res) => {
    req.session.seen = req.session.fresh;
    res.send(200);
  });
  const call = app.peer.invite();
  const res = await ringing;
  await call.request('UPDATE');
  res.send(200);
  await call.final();
  assert.deepEqual({ ...(await find(store, call.callId)).session }, { fresh: true, seen: true });
});

test('one final response leaves, the first, however fast the store is', async (t) => {
  const { stores } = await twoProcesses(t);
  for (const store of [stores[0], new session.MemoryStore()]) {
    for (const statuses of [
      [200, 486],
      [486, 200]
    ]) {
      const sent = [];
      const req = { method: 'INVITE', id: `${statuses}`, source: 'network', get: () => '<sip:b@example>' };
      const res = { send: (status) => sent.push(status) };
      session({ store })(req, res, () => statuses.forEach((status) => res.send(status)));
      while (sent.length === 0) await new Promise(setImmediate);
      await store.length();
      assert.deepEqual(sent, statuses.slice(0, 1));
    }
  }
});

test('while the store is away an early request finds the session of the pending INVITE', async () => {
  const store = new session.MemoryStore();
  const app = host();
  app.use(session({ store, app }));
  const ringing = new Promise((resolve) => {
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      res.send(183);
      resolve(res);
    });
  });
  app.update((req, res) => res.send(200, { body: req.session.user }));
  const call = app.peer.invite();
  const res = await ringing;
  store.engine.connected = false;
  assert.equal((await call.request('UPDATE')).body, 'jack jones');
  store.engine.connected = true;
  res.send(200);
  assert.equal((await call.final()).statusCode, 200);
});
