'use strict';
// update(): an atomic read-modify-write of a session; save({ifUnchanged}): a save that fails when another was faster.

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const { Monitor } = require('../support/network/monitor');
const { Proxy } = require('../support/network/proxy');
const { message } = require('../support/message');
const { called, connect, load, openStore, save, startRedis, stored } = require('../support/sessions');
const { within } = require('../support/waiting');

const { SessionError } = session;
const kinds = ['memory', 'redis'];
const next = (data) => ++data.n;
const promises = (data) => Promise.resolve(++data.n);

for (const kind of kinds) {
  test(`${kind}: update() works on the newest data, gives what fn gave, and shows the result`, async (t) => {
    const { store, mine, theirs } = await pair(t, kind, { count: 1, list: [1] });
    theirs.session.count = 41;
    theirs.session.theirs = true;
    await theirs.save();
    const live = mine.session;
    const gave = await mine.update((data) => {
      assert.deepEqual({ ...data }, { count: 41, list: [1], theirs: true });
      assert.notEqual(data, live, 'a private copy');
      data.count++;
      data.list.push(2);
      delete data.theirs;
      return data.count * 2;
    });
    assert.equal(gave, 84);
    assert.equal(mine.session, live);
    assert.deepEqual({ ...live }, { count: 42, list: [1, 2] });
    assert.deepEqual(await stored(store, 'call'), { count: 42, list: [1, 2] });
  });

  test(`${kind}: what this process has not saved yet is saved first`, async (t) => {
    const { store, mine } = await pair(t, kind, { a: 1 });
    mine.session.b = 2;
    await mine.update((data) => void (data.c = data.b + 1));
    assert.deepEqual(await stored(store, 'call'), { a: 1, b: 2, c: 3 });
  });

  test(`${kind}: req.session.update, req.mks.update, with a callback and without`, async (t) => {
    const { store } = await pair(t, kind, { n: 0 });
    const { req, res, left } = message('INFO', 'call', true);
    await new Promise((resolve) => {
      session({ store })(req, res, resolve);
    });
    assert.equal(await req.session.update(next), 1);
    assert.equal(await req.mks.update(next), 2);
    assert.deepEqual(await called(req.session, 'update', next), [null, 3]);
    assert.deepEqual(await called(req.mks, 'update', next), [null, 4]);
    assert.ok(!Object.keys(req.session).includes('update'));
    res.send(200);
    await left;
    assert.deepEqual(await stored(store, 'call'), { n: 4 });
  });

  test(`${kind}: fn that throws, gives a promise, or is none changes nothing`, async (t) => {
    const { store, mine } = await pair(t, kind, { n: 1 });
    const mistake = new Error('mine');
    const throws = (data) => {
      data.n = 2;
      throw mistake;
    };
    await assert.rejects(mine.update(throws), (err) => err === mistake);
    await assert.rejects(mine.update(promises), { code: 'ERR_SESSION_ARGUMENT' });
    for (const none of [undefined, null, 5, {}]) {
      await assert.rejects(() => mine.update(none), { code: 'ERR_SESSION_ARGUMENT' });
    }
    assert.deepEqual([{ ...mine.session }, await stored(store, 'call')], [{ n: 1 }, { n: 1 }]);
    await mine.save();
    assert.deepEqual(await stored(store, 'call'), { n: 1 });
  });

  test(`${kind}: many updates at once, each counts`, async (t) => {
    const { store, mine, theirs } = await pair(t, kind, { n: 0 });
    const gave = await within(
      Promise.all(Array.from({ length: 200 }, (_, i) => (i % 2 ? mine : theirs).update(next))),
      'the updates'
    );
    assert.deepEqual(gave.toSorted((a, b) => a - b), Array.from({ length: 200 }, (_, i) => i + 1)); // prettier-ignore
    assert.deepEqual(await stored(store, 'call'), { n: 200 });
  });

  test(`${kind}: update() of a session that has ended is refused`, async (t) => {
    const { store, mine, theirs } = await pair(t, kind, { n: 1 });
    await theirs.destroy();
    await assert.rejects(mine.update((data) => void (data.n = 2)), { code: 'ERR_SESSION_GONE' }); // prettier-ignore
    assert.equal(await store.length(), 0);
  });

  test(`${kind}: save({ifUnchanged}) after another object has saved fails, with what they stored`, async (t) => {
    const { store, mine, theirs } = await pair(t, kind, { a: 1, b: 1 });
    mine.session.mine = 1;
    await mine.save({ ifUnchanged: true });
    theirs.session.b = 2;
    await theirs.save();
    mine.session.a = 3;
    const conflict = await mine.save({ ifUnchanged: true }).catch((err) => err);
    assert.ok(conflict instanceof SessionError);
    assert.equal(conflict.code, 'ERR_SESSION_CONFLICT');
    assert.deepEqual({ ...conflict.newer }, { a: 1, b: 2, mine: 1 });
    assert.deepEqual(await stored(store, 'call'), { a: 1, b: 2, mine: 1 }, 'nothing was written');
    assert.deepEqual({ ...mine.session }, { a: 3, b: 2, mine: 1 }, 'their change is here, and ours is still');
    assert.deepEqual(await called(mine, 'save', { ifUnchanged: true }), [null, undefined]);
    assert.deepEqual(await stored(store, 'call'), { a: 3, b: 2, mine: 1 });
  });

  test(`${kind}: what is changed while a save fails with a conflict is saved, and so is what follows`, async (t) => {
    const { store, mine, theirs } = await pair(t, kind, {});
    theirs.session.theirs = 1;
    await theirs.save();
    mine.session.a = 2;
    const first = mine.save({ ifUnchanged: true }).catch(({ code }) => code);
    mine.session.a = 3;
    await mine.save();
    assert.equal(await first, 'ERR_SESSION_CONFLICT');
    delete mine.session.a;
    await mine.save();
    assert.deepEqual(await stored(store, 'call'), { theirs: 1 });
  });

  test(`${kind}: a session whose only key that is known here was removed elsewhere is updated all the same`, async (t) => {
    const { store, mine, theirs } = await pair(t, kind, { n: 1 });
    await theirs.set('another').save();
    await theirs.del('call');
    assert.equal(await mine.update(next), 2);
    theirs.session.theirs = 1;
    await theirs.save();
    await assert.rejects(mine.save({ ifUnchanged: true }), { code: 'ERR_SESSION_CONFLICT' });
    assert.equal(await mine.update(next), 3);
    assert.deepEqual(await stored(store, 'another'), { n: 3, theirs: 1 });
  });

  test(`${kind}: of many that save({ifUnchanged}) at once one succeeds`, async (t) => {
    const { store } = await pair(t, kind, {});
    const all = await Promise.all(Array.from({ length: 10 }, () => load(store, 'call')));
    all.forEach((mks, i) => (mks.session.winner = i));
    const ended = await Promise.allSettled(all.map((mks) => mks.save({ ifUnchanged: true })));
    const won = ended.flatMap(({ status }, i) => (status === 'fulfilled' ? [i] : []));
    assert.equal(won.length, 1);
    const codes = ended.flatMap(({ reason }) => (reason ? [reason.code] : []));
    assert.deepEqual(codes, Array.from({ length: 9 }, () => 'ERR_SESSION_CONFLICT')); // prettier-ignore
    assert.deepEqual(await stored(store, 'call'), { winner: won[0] });
  });
}

// A store, and a session of it that two have loaded, each for itself; in Redis by two stores.
async function pair(t, kind, data) {
  if (kind === 'memory') {
    const store = await openStore(t, kind);
    await save(store, 'call', data);
    return { store, mine: await load(store, 'call'), theirs: await load(store, 'call') };
  }
  const { port } = await startRedis(t);
  const [store, other] = [1, 2].map(() => connect(t, { port, cache: false }));
  await save(store, 'call', data);
  return { store, mine: await load(store, 'call'), theirs: await load(other, 'call') };
}

test('the objects of a session in one process update it together, and each shows what came of it', async (t) => {
  const redis = await startRedis(t);
  const store = connect(t, { port: redis.port, poolSize: 1 });
  await save(store, 'call', { n: 0 });
  const all = await Promise.all(Array.from({ length: 16 }, () => load(store, 'call')));
  all.forEach((mks, i) => (mks.session[`p${i}`] = i));
  const [spoiled] = all;
  spoiled.session.toJSON = () => 5;
  const monitor = await Monitor.start(redis);
  t.after(() => monitor.stop());
  const ended = await within(Promise.allSettled(all.flatMap((mks) => [mks.update(next), mks.update(next)])), 'them');
  const codes = ended.flatMap(({ reason }) => (reason ? [reason.code] : []));
  assert.deepEqual(codes, ['ERR_SESSION_DATA', 'ERR_SESSION_DATA'], 'what can not be saved is the failure of that one');
  const values = ended.flatMap(({ value }) => value ?? []);
  assert.deepEqual(values, Array.from({ length: 30 }, (_, i) => i + 1)); // prettier-ignore
  // what each has changed goes first, by itself; then one look and one write for all
  const verbs = await monitor.verbs();
  assert.ok(verbs.length <= 20, verbs.join());
  for (const mks of all.slice(1)) assert.equal(mks.session.n, 30);
  delete spoiled.session.toJSON;
  await spoiled.save();
  const data = await stored(store, 'call');
  assert.equal(data.n, 30);
  assert.equal(Object.keys(data).length, 17);
});

test('while others keep writing an update ends at its deadline, with a conflict', async (t) => {
  const redis = await startRedis(t);
  const proxy = await Proxy.start(redis);
  t.after(() => proxy.stop());
  const [store, other] = [connect(t, { port: proxy.port }), connect(t, { port: redis.port })];
  session({ store, timeout: 500 });
  const mks = await save(store, 'call', { n: 0 });
  const theirs = await load(other, 'call');
  // each round trip takes long enough for another to write
  proxy.delay(20);
  const over = new AbortController();
  const busy = (async () => {
    while (!over.signal.aborted) {
      theirs.session.theirs = (theirs.session.theirs || 0) + 1;
      await theirs.save();
    }
  })();
  let runs = 0;
  const failure = await within(mks.update((data) => void (data.n = ++runs)).catch((err) => err), 'the update'); // prettier-ignore
  over.abort();
  await busy;
  assert.equal(failure?.code, 'ERR_SESSION_CONFLICT');
  assert.ok(runs > 1, 'it was tried again');
  await proxy.mend();
  assert.equal((await stored(other, 'call')).n, 0);
  assert.equal(await mks.update((data) => ++data.n), 1);
});

test('update() while the store is away fails in time', async (t) => {
  const redis = await startRedis(t);
  const store = connect(t, { port: redis.port });
  session({ store, timeout: 300 });
  const mks = await save(store, 'call', { n: 0 });
  redis.pause();
  const slow = await within(mks.update((data) => void data.n++).catch(({ code }) => code), 'the update'); // prettier-ignore
  assert.ok(['ERR_SESSION_TIMEOUT', 'ERR_SESSION_STORE_UNAVAILABLE'].includes(slow), slow);
  redis.resume();
  await redis.kill();
  const dead = await within(mks.update((data) => void data.n++).catch(({ code }) => code), 'the update'); // prettier-ignore
  assert.ok(['ERR_SESSION_TIMEOUT', 'ERR_SESSION_STORE_UNAVAILABLE'].includes(dead), dead);
});
