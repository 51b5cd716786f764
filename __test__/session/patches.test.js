'use strict';
// A save sends the properties that differ from what the engine has: random histories of one session, and single cases.
// Again, or longer: SEED=7 PATCHES=1 (or 100000) node --test __test__/session/patches.test.js

const assert = require('node:assert/strict');
const test = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../..');
const { faultBench } = require('../support/faults/bench');
const { scaled } = require('../support/machine');
const { message } = require('../support/message');
const { History } = require('../support/patches/history');
const { MapStore } = require('../support/patches/map-store');
const { load, save } = require('../support/sessions');
const { sizesOf } = require('../support/sizes');
const { until, within } = require('../support/waiting');

const { MemoryStore, Session, addClass } = session;

const KEY = 'mks:call';
const LIST = Array(500).fill(1);
const SEED = Number(process.env.SEED || 1);
const { PATCHES } = sizesOf('session/patches');

test(`${PATCHES} random histories of a data object: what is stored is what JSON writes of it`, async (t) => {
  const failed = [];
  for (let seed = SEED; seed < SEED + PATCHES; seed++) {
    const history = new History(seed);
    await history.run().catch((err) => failed.push(`${err.stack}\n${history}`));
  }
  t.diagnostic(`${failed.length} of ${PATCHES} histories are wrong`);
  assert.equal(failed.length, 0, failed.slice(0, 3).join('\n\n'));
});

const APPLICATION = new Error("the application's own");

// Two stores of two processes over one Map.
function processes() {
  const store = new MapStore();
  return [store, new MapStore(store.entries)];
}

const openStores = { memory: () => new MemoryStore(), JavaScript: () => new MapStore() };

// What is stored, as it would be loaded.
const storedIn = async (store, mks) => (store instanceof MapStore ? store.data(mks) : (await store.get(KEY)).session);

// A request that is not answered, so that its session stays live.
async function request(store, method = 'INFO', serve = session({ store })) {
  const sent = message(method, 'call', true);
  await within(
    new Promise((resolve, reject) => {
      serve(sent.req, sent.res, (err) => (err ? reject(err) : resolve()));
    }),
    'the handler'
  );
  return sent;
}

// Each test with a store of both kinds.
function testBoth(name, run) {
  for (const [kind, open] of Object.entries(openStores)) test(`${name} (${kind})`, () => run(open()));
}

testBoth('update() of nothing succeeds, and gives what the function returned', async (store) => {
  const mks = await save(store, 'call', { x: 1 });
  assert.equal(await mks.update((data) => data.x), 1);
  assert.deepEqual(await storedIn(store, mks), { x: 1 });
});

testBoth('updates of one turn: one of nothing, one that changes, one that throws', async (store) => {
  const mks = await save(store, 'call', { x: 1 });
  const thrower = () => {
    throw APPLICATION;
  };
  const updates = [mks.update((data) => data.x), mks.update((data) => ++data.x), mks.update(thrower)];
  assert.deepEqual(await Promise.allSettled(updates), [
    { status: 'fulfilled', value: 1 },
    { status: 'fulfilled', value: 2 },
    { status: 'rejected', reason: APPLICATION }
  ]);
  assert.deepEqual(await storedIn(store, mks), { x: 2 });
});

testBoth('updates that come to nothing together succeed', async (store) => {
  const mks = await save(store, 'call', { x: 1 });
  const add = mks.update((data) => void (data.y = 1));
  const remove = mks.update((data) => delete data.y);
  assert.deepEqual(await Promise.all([add, remove]), [undefined, true]);
  await mks.update((data) => void (data.f = () => 1));
  assert.deepEqual(await storedIn(store, mks), { x: 1 });
});

test('of data with more than 1,024 values a save sends no property that is unchanged', async () => {
  const [store, elsewhere] = processes();
  await save(store, 'call', { a: LIST, b: LIST, c: LIST });
  const one = await load(store, 'call');
  const { c } = one.session;
  assert.equal(one.isDirty(), false);
  const two = await load(elsewhere, 'call');
  two.session.c = 'of another process';
  await two.save();
  assert.deepEqual(c, LIST);
  one.session.z = 1;
  await one.save();
  assert.equal(store.data(one).c, 'of another process');
  assert.equal(store.data(one).z, 1);
});

test('of data with more than 1,024 values a live session gets what another process has changed', async () => {
  const [store, elsewhere] = processes();
  await save(store, 'call', { a: Array(600).fill(1), c: LIST });
  const { req } = await request(store);
  assert.equal(req.session.c.length, 500);
  const two = await load(elsewhere, 'call');
  two.session.c = 'of another process';
  await two.save();
  await request(store);
  assert.equal(req.session.c, 'of another process');
});

testBoth('del() of one of two keys before the first save loses no property', async (store) => {
  const mks = new Session({ store });
  mks.set('other').set('call');
  mks.session.x = 1;
  await mks.del('other');
  mks.session.y = 2;
  await mks.save();
  assert.deepEqual(await storedIn(store, mks), { x: 1, y: 2 });
  const seen = await mks.update((data) => {
    data.z = 3;
    return { ...data };
  });
  assert.deepEqual(seen, { x: 1, y: 2, z: 3 });
  assert.deepEqual(await storedIn(store, mks), { x: 1, y: 2, z: 3 });
});

testBoth('del() of a key that was never saved loses no change of a stored session', async (store) => {
  const mks = await save(store, 'call', { x: 1 });
  mks.set('other');
  mks.session.y = 2;
  await mks.del('other');
  mks.session.z = 3;
  await mks.save();
  assert.deepEqual(await storedIn(store, mks), { x: 1, y: 2, z: 3 });
});

test('a save that fails after del() of one of two keys loses no property', async () => {
  const store = new MapStore();
  const mks = new Session({ store });
  mks.set('other').set('call');
  mks.session.x = 1;
  await mks.del('other');
  mks.session.y = 2;
  store.failAfter = 0;
  await assert.rejects(mks.save(), { code: 'ERR_SESSION_STORE' });
  await mks.save();
  assert.deepEqual(store.data(mks), { x: 1, y: 2 });
});

test('an older save that fails late does not win over the change of a newer ifUnchanged that failed', async () => {
  const store = new MapStore();
  session({ store, timeout: 200 });
  const mks = await save(store, 'call', { p: 0 });
  store.isSilent = true;
  mks.session.p = 1;
  await assert.rejects(mks.save(), { code: 'ERR_SESSION_TIMEOUT' });
  mks.session.p = 2;
  await assert.rejects(mks.save({ ifUnchanged: true }), { code: /^ERR_SESSION_/ });
  store.failAfter = 0;
  await until(() => store.failAfter === undefined, 'the older save to be repeated');
  await new Promise(setImmediate);
  await mks.save();
  assert.equal(mks.session.p, 2);
  assert.deepEqual(store.data(mks), { p: 2 });
});

testBoth('a toJSON of the data object that spreads it is called on the data object only', async (store) => {
  const data = {
    call: { id: 5 },
    toJSON() {
      return { ...this, callId: this.call.id, call: undefined };
    }
  };
  const mks = await save(store, 'call', data);
  assert.deepEqual(await storedIn(store, mks), { callId: 5 });
  assert.equal(mks.isDirty(), false);
  mks.session.more = 1;
  await mks.save();
  assert.deepEqual(await storedIn(store, mks), { callId: 5, more: 1 });
});

testBoth('what is stored of a toJSON that counts is of its last call', async (store) => {
  let count = 0;
  const callers = new Set();
  const toJSON = function toJSON() {
    callers.add(this);
    return { ...this, n: ++count };
  };
  const mks = await save(store, 'call', { a: 1, toJSON });
  assert.deepEqual(await storedIn(store, mks), { a: 1, n: count });
  for (const a of [2, 3]) {
    mks.session.a = a;
    await mks.save();
    assert.deepEqual(await storedIn(store, mks), { a, n: count });
  }
  assert.ok(callers.size === 1 && callers.has(mks.session), 'it is called on the data object only');
});

testBoth('a toJSON that gives null for an object of its own stops no save', async (store) => {
  const data = {
    a: 1,
    toJSON() {
      return this.a ? { ...this } : null;
    }
  };
  const mks = await save(store, 'call', data);
  assert.deepEqual(await storedIn(store, mks), { a: 1 });
  mks.session.b = 2;
  await mks.save();
  assert.deepEqual(await storedIn(store, mks), { a: 1, b: 2 });
  delete mks.session.a;
  await assert.rejects(mks.save(), { code: 'ERR_SESSION_DATA' });
  assert.deepEqual(await storedIn(store, mks), { a: 1, b: 2 });
});

testBoth('update() stores what a toJSON gives that the function sets', async (store) => {
  const mks = await save(store, 'call', { x: 1 });
  await mks.update((data) => {
    Object.assign(data, {
      toJSON() {
        return { z: this.x };
      }
    });
  });
  assert.deepEqual(await storedIn(store, mks), { z: 1 });
  assert.deepEqual({ ...mks.session }, { z: 1 });
});

test('a property that is set back after a merge is written', async () => {
  const [store, elsewhere] = processes();
  await save(store, 'call', { p: 1, q: 1 });
  const { req } = await request(store);
  const two = await load(elsewhere, 'call');
  req.session.p = 2;
  two.session.p = 3;
  await two.save();
  await request(store);
  assert.equal(req.session.p, 2);
  req.session.p = 1;
  await req.mks.save();
  assert.deepEqual([req.session.p, store.data(req.mks).p], [1, 1]);
});

testBoth('ifUnchanged sees no conflict where nobody else has written: integer-like names and NaN', async (store) => {
  const mks = await save(store, 'call', { name: 'x', 7: NaN });
  mks.session.name = 'y';
  await mks.save({ ifUnchanged: true });
  assert.deepEqual(await storedIn(store, mks), { 7: null, name: 'y' });
});

testBoth('the result of a nested toJSON that is not enumerable is compared, not its object', async (store) => {
  let w = 1;
  const o = Object.defineProperty({ v: 1 }, 'toJSON', { value: () => ({ w }) });
  const mks = await save(store, 'call', { o, deep: { o } });
  assert.deepEqual(await storedIn(store, mks), { o: { w: 1 }, deep: { o: { w: 1 } } });
  w = 2;
  assert.equal(mks.isDirty(), true);
  await mks.save();
  assert.deepEqual(await storedIn(store, mks), { o: { w: 2 }, deep: { o: { w: 2 } } });
});

// A live session, to which another process adds an instance whose class refuses its data.
async function refusedMerge() {
  class Refusing {
    constructor(data) {
      if (data.isRefused) throw new Error('refused');
      Object.assign(this, data);
    }
  }
  addClass(Refusing);
  const store = new MapStore();
  await save(store, 'call', { q: 1 });
  const { req } = await request(store);
  assert.equal(req.session.q, 1);
  const put = (isRefused) => {
    const b = { '@class': 'Refusing', value: { isRefused } };
    store.entries.set(req.mks.uuid, JSON.stringify({ keys: { [KEY]: null }, session: { q: 2, b } }));
  };
  put(true);
  return { store, req, put, Refusing };
}

test('a merge that throws leaves no stale data behind: each load fails', async () => {
  const { store } = await refusedMerge();
  for (let i = 0; i < 3; i++) await assert.rejects(load(store, 'call'), { code: 'ERR_SESSION_DATA' });
});

test('a merge that threw does not stop one of data that is stored later', async () => {
  const { store, req, put, Refusing } = await refusedMerge();
  await assert.rejects(load(store, 'call'), { code: 'ERR_SESSION_DATA' });
  put(false);
  assert.equal(await load(store, 'call'), req.mks);
  assert.equal(req.session.q, 2);
  assert.ok(req.session.b instanceof Refusing);
});

test('a BYE after names that held only undefined is answered when its removal is written', async (t) => {
  const bench = await faultBench(t, { storeOptions: { commandTimeout: 60000, connectTimeout: 60000 } });
  // Redis knows the scripts
  await (await save(bench.store, 'before', { a: 1 })).del('before');
  await save(bench.store, 'call', { a: 1 });
  const { req, res, left } = await request(bench.store, 'BYE');
  for (let i = 0; i < 10; i++) {
    req.session[`t${i}`] = undefined;
    assert.equal(req.mks.isDirty(), false);
    delete req.session[`t${i}`];
  }
  bench.proxy.stall('toClient');
  res.send(200);
  const answer = await Promise.race([left, sleep(scaled(1000), 'no answer')]);
  assert.deepEqual(answer, [200]);
  await bench.proxy.mend();
  await until(async () => (await load(bench.other, 'call')) === null, 'the removal');
});

test('names that held only undefined do not make later comparisons slower', async () => {
  const mks = await save(new MemoryStore(), 'call', { a: 1 });
  // the shortest of some, ms
  const comparison = () => {
    const times = Array.from({ length: 30 }, () => {
      const begun = performance.now();
      mks.isDirty();
      return performance.now() - begun;
    });
    return Math.min(...times);
  };
  const before = comparison();
  for (let i = 0; i < 20000; i++) {
    mks.session[`t${i}`] = undefined;
    mks.isDirty();
    delete mks.session[`t${i}`];
  }
  const after = comparison();
  assert.ok(after < 20 * before + 0.05, `${before} ms, then ${after} ms`);
});
