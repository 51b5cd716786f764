'use strict';
// Writers of one session at the same time, in one process and in several: no change is lost. More of them:
// WRITES=100000 node --test __test__/guarantees/writers.test.js

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const host = require('../../examples/classic-host');
const { RemoteActor } = require('../support/histories/actor');
const { Monitor } = require('../support/network/monitor');
const { message } = require('../support/message');
const { connect, load, openStore, save, startRedis, stored } = require('../support/sessions');
const { sizesOf } = require('../support/sizes');
const { within } = require('../support/waiting');

const WRITERS = 64;
const { WRITES } = sizesOf('guarantees/writers');
const PATIENCE = { timeout: 120000, commandTimeout: 60000 };

// All writers at once, half of them in each of two processes. -> the data in the end
async function writers(t, how) {
  const redis = await startRedis(t);
  const store = connect(t, { port: redis.port });
  await save(store, 'call', {});
  const actors = [0, 1].map(() => new RemoteActor({ port: redis.port, ...PATIENCE }));
  const names = Array.from({ length: WRITERS }, (_, i) => `w${i}`);
  const each = Math.ceil(WRITES / WRITERS);
  const outcomes = await Promise.all(
    actors.map((actor, i) => {
      const mine = names.filter((_, n) => n % 2 === i);
      return actor.perform({ kind: 'write', key: 'call', names: mine, each, how });
    })
  );
  assert.deepEqual(outcomes, [{}, {}]);
  const data = await stored(store, 'call');
  await Promise.all(actors.map((actor) => actor.perform({ kind: 'close' })));
  const ends = await within(Promise.all(actors.map((actor) => actor.end())), 'the processes to end');
  assert.deepEqual(ends, [{ code: 0, signal: null }, { code: 0, signal: null }]); // prettier-ignore
  return { data, names, each };
}

test('64 writers in two processes count with update(): the count is exact', async (t) => {
  const { data, each } = await writers(t, 'update');
  assert.deepEqual(data, { count: WRITERS * each });
});

test('64 writers in two processes save properties of their own: none is lost', async (t) => {
  const { data, names, each } = await writers(t, 'save');
  const expected = {};
  for (const name of names) {
    expected[name] = each;
    for (let i = 25; i <= each; i += 25) expected[`${name} ${i}`] = true;
  }
  assert.deepEqual(data, expected);
});

for (const kind of ['memory', 'redis']) {
  test(`${kind}: writers of different properties in one process, that set and remove`, async (t) => {
    const store = await openStore(t, kind);
    await save(store, 'call', { a: 1, b: 1, c: 1, d: 1 });
    const [one, two] = await Promise.all([load(store, 'call'), load(store, 'call')]);
    assert.notEqual(one.session, two.session);
    one.session.a = 2;
    delete one.session.b;
    two.session.c = 2;
    delete two.session.d;
    two.session.e = 2;
    await Promise.all([one.save(), two.save()]);
    assert.deepEqual(await stored(store, 'call'), { a: 2, c: 2, e: 2 });
  });

  test(`${kind}: requests that hold a session at the same time hold one data object, to its depth`, async (t) => {
    const store = await openStore(t, kind);
    const attach = session({ store });
    await save(store, 'call', { legs: { a: { digits: '' } }, list: [] });
    const requests = ['INFO', 'UPDATE', 'INFO', 'MESSAGE'].map((method) => message(method, 'call', true));
    const handled = requests.map(
      ({ req, res }) =>
        new Promise((resolve) => {
          attach(req, res, resolve);
        })
    );
    await Promise.all(handled);
    const objects = new Set(requests.map(({ req }) => req.session));
    assert.equal(objects.size, 1, 'one object');
    requests.forEach(({ req }, i) => {
      req.session.legs.a.digits += i;
      req.session.list.push({ from: i });
    });
    requests[0].res.send(200);
    requests[3].res.send(200);
    await Promise.all([requests[0].left, requests[3].left]);
    assert.deepEqual(requests[1].req.session.legs.a.digits, '0123');
    const all = [0, 1, 2, 3].map((from) => ({ from }));
    assert.deepEqual(await stored(store, 'call'), { legs: { a: { digits: '0123' } }, list: all });
    requests[1].req.session.legs.a.digits += '!';
    requests[1].res.send(200);
    requests[2].res.send(200);
    await Promise.all(requests.map(({ left }) => left));
    assert.deepEqual(await stored(store, 'call'), { legs: { a: { digits: '0123!' } }, list: all });
  });
}

// A RedisStore, a session, and a monitor of what is asked of the server.
async function monitored(t) {
  const redis = await startRedis(t);
  const store = connect(t, { port: redis.port, poolSize: 1 });
  const mks = await save(store, 'call', { n: 0 });
  const monitor = await Monitor.start(redis);
  t.after(() => monitor.stop());
  return { redis, store, mks, monitor };
}

test('while a save is on the wire, later changes wait and go out together', async (t) => {
  const { store, mks, monitor } = await monitored(t);
  const saves = [];
  for (let i = 1; i <= 1000; i++) {
    mks.session.n = i;
    mks.session[`p${i}`] = i;
    saves.push(mks.save());
  }
  await Promise.all(saves);
  const commands = await monitor.take();
  assert.deepEqual(commands.map(([verb]) => verb), ['EVALSHA', 'EVALSHA']); // prettier-ignore
  assert.ok(commands[0].includes('.p1') && !commands[0].includes('.p2'), 'the first has the first change');
  assert.ok(commands[1].includes('.p1000') && !commands[1].includes('.p1'), 'the second all others, and nothing twice');
  const data = await stored(store, 'call');
  assert.deepEqual([data.n, Object.keys(data).length], [1000, 1001]);
});

test('what requests have changed together is saved once', async (t) => {
  const { store, monitor } = await monitored(t);
  const app = host();
  app.use(session({ store }));
  const handlers = [];
  const all = new Promise((resolve) => {
    app.info((req, res) => {
      req.session.seen = [...(req.session.seen || []), handlers.length];
      handlers.push(res);
      if (handlers.length === 10) resolve();
    });
  });
  const answers = Array.from({ length: 10 }, () => app.peer.request('INFO', { callId: 'call', toTag: 'x' }));
  await within(all, 'the handlers');
  await monitor.take();
  handlers.forEach((res) => res.send(200));
  await within(Promise.all(answers), 'the answers');
  assert.deepEqual(await monitor.verbs(), ['EVALSHA']);
  assert.deepEqual(await stored(store, 'call'), { n: 0, seen: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] });
});
