'use strict';
// Writes that fail while the store is away are pending: replayed when it is back, in order, within bounds; what is
// given up is told. And close(), which settles it or says what it could not.

const assert = require('node:assert/strict');
const test = require('node:test');
const diagnostics = require('node:diagnostics_channel');
const session = require('../..');
const { Monitor } = require('../support/network/monitor');
const { begin } = require('../support/faults/faults');
const { DURABLE, faultBench } = require('../support/faults/bench');
const { scaled } = require('../support/machine');
const { run } = require('../support/process');
const { connect, load, save, startRedis, stored } = require('../support/sessions');
const { until, within } = require('../support/waiting');

const OUTAGES = ['dead', 'refused', 'hanging'];
const givenUp = ({ errors }) => errors.filter(({ code }) => code === 'ERR_SESSION_GIVEN_UP');

for (const fault of OUTAGES) {
  test(`${fault}: what was written, changed and removed meanwhile is so afterwards`, async (t) => {
    const bench = await faultBench(t, { timeout: 300, storeOptions: { commandTimeout: 500, connectTimeout: 500 } });
    const { store } = bench;
    const old = {};
    for (const id of ['kept', 'changed', 'removed', 'destroyed']) old[id] = await save(store, id, { id });
    const outage = await begin(fault, bench);
    const ended = [];
    const note = (promise) => ended.push(promise.then(() => 'done', ({ code }) => code)); // prettier-ignore
    for (let i = 1; i <= 5; i++) {
      old.changed.session[`n${i}`] = i;
      note(old.changed.save());
    }
    delete old.changed.session.n2;
    note(old.changed.save());
    note(old.removed.del('removed'));
    note(old.destroyed.destroy());
    const begun = new session.Session({ store });
    begun.set('begun').session = { a: 1 };
    note(begun.save());
    begun.set('begun too').session.b = 2;
    note(begun.save());
    const codes = await within(Promise.all(ended), 'the operations to end');
    for (const code of codes) {
      assert.ok(['ERR_SESSION_TIMEOUT', 'ERR_SESSION_STORE_UNAVAILABLE'].includes(code), code);
    }
    await outage.mend();
    await bench.become(['begun', 'begun too', 'changed', 'kept']);
    await until(async () => (await bench.stored('begun')).b && (await bench.stored('changed')).n5, 'all of it');
    assert.deepEqual(await bench.stored('changed'), { id: 'changed', n1: 1, n3: 3, n4: 4, n5: 5 });
    assert.deepEqual(await bench.stored('begun too'), { a: 1, b: 2 });
    assert.deepEqual(givenUp(store), []);
  });
}

for (const fault of ['dead', 'refused']) {
  test(`${fault}: a session that was begun and has ended meanwhile costs nothing`, async (t) => {
    let open = false;
    const listener = (told) => ({ open } = told);
    diagnostics.subscribe('drachtio-session:breaker', listener);
    t.after(() => diagnostics.unsubscribe('drachtio-session:breaker', listener));
    const bench = await faultBench(t, { timeout: 300 });
    await save(bench.store, 'sentinel', {});
    await begin(fault, bench);
    await until(async () => (await bench.store.get('a').catch(() => undefined), open), 'the breaker to open');
    const calls = await Promise.all(Array.from({ length: 20 }, (_, i) => bench.call(`call-${i}`)));
    await Promise.all(calls.map((call) => bench.bye(call)));
    assert.equal(await save(bench.store, 'last', {}).catch(() => 'pending'), 'pending');
    if (fault === 'dead') await bench.redis.run();
    const monitor = await Monitor.start(bench.redis);
    t.after(() => monitor.stop());
    await bench.proxy.mend();
    await bench.become(['last', 'sentinel']);
    const commands = await monitor.take();
    const touched = commands.filter((words) => words.some((word) => word.includes('call-')));
    assert.deepEqual(touched, [], 'nothing was asked of Redis for them');
  });
}

test('the bound on sessions: the rest is given up, by name', async (t) => {
  const bench = await faultBench(t, { timeout: 300, storeOptions: { maxQueue: 10 } });
  const outage = await begin('dead', bench);
  for (let i = 0; i < 30; i++) await save(bench.store, `call-${i}`, { i }).catch(() => undefined);
  await until(() => givenUp(bench.store).length >= 20, 'it to be told').catch(() => undefined);
  const told = givenUp(bench.store);
  assert.equal(told.length, 20, told.map(({ message }) => message).join('\n'));
  const named = new Set(told.map(({ message }) => /call-\d+|mks:session:[0-9a-f-]+/.exec(message)?.[0]));
  assert.equal(named.size, 20, [...named].join());
  await outage.mend();
  await until(async () => (await bench.ids()).length === 10, 'the others');
});

test('the bound on bytes', async (t) => {
  const bench = await faultBench(t, { timeout: 300, storeOptions: { maxQueueBytes: 100_000 } });
  const outage = await begin('dead', bench);
  for (let i = 0; i < 20; i++)
    await save(bench.store, `call-${i}`, { text: 'x'.repeat(20_000) }).catch(() => undefined);
  await until(() => givenUp(bench.store).length >= 15, 'it to be told').catch(() => undefined);
  const told = givenUp(bench.store).length;
  assert.ok(told >= 15 && told < 20, `${told} were given up`);
  await outage.mend();
  await until(async () => (await bench.ids()).length === 20 - told, 'the others');
});

test('close() finishes accepted and pending writes, when the store comes back in time', async (t) => {
  const bench = await faultBench(t, { timeout: 300 });
  const outage = await begin('dead', bench);
  await save(bench.store, 'call', { a: 1 }).catch(() => undefined);
  const closed = bench.store.close({ timeout: 10000 });
  await outage.mend();
  await within(closed, 'the store to close');
  assert.deepEqual(await until(() => bench.stored('call').catch(() => null), 'the session'), { a: 1 });
  assert.deepEqual(givenUp(bench.store), []);
});

test('close() ends at its deadline, and tells what was not done', async (t) => {
  for (const fault of ['dead', 'hanging', 'stopped']) {
    const bench = await faultBench(t, { timeout: 300 });
    await begin(fault, bench);
    await Promise.all([1, 2, 3].map((i) => save(bench.store, `call-${i}`, { i }).catch(() => undefined)));
    const begun = Date.now();
    await within(bench.store.close({ timeout: 400 }), `${fault}: the store to close`);
    assert.ok(Date.now() - begun < scaled(5000), fault);
    assert.equal(givenUp(bench.store).length, 3, fault);
    await assert.rejects(bench.store.get('a'), { code: 'ERR_SESSION_STORE_CLOSED' });
  }
});

test('close() lets the process exit, whatever the store does', async (t) => {
  const redis = await startRedis(t, ...DURABLE);
  const code = `
    const store = new session.RedisStore({ port: ${redis.port} });
    store.on('error', ({ code }) => console.log(code));
    store.once('connect', async () => {
      const mks = new session.Session({ store });
      mks.set('call').session.a = 1;
      process.kill(${redis.process.pid}, 'SIGSTOP');
      mks.save().catch(() => undefined);
      await store.close({ timeout: 300 });
      console.log('closed');
    });
  `;
  const result = await run(code);
  redis.resume();
  assert.deepEqual([result.code, result.stuck], [0, false], result.err);
  assert.match(result.out, /ERR_SESSION_GIVEN_UP[^]*closed|closed[^]*ERR_SESSION_GIVEN_UP/);
});

test('a pending removal is not undone by what others write meanwhile', async (t) => {
  const bench = await faultBench(t, { timeout: 300 });
  const mine = await save(bench.store, 'call', { a: 1 });
  const theirs = await load(bench.other, 'call');
  await bench.proxy.refuse();
  bench.proxy.reset();
  await mine.destroy().catch(() => undefined);
  theirs.session.b = 2;
  await theirs.save();
  await bench.proxy.mend();
  await bench.become([]);
  theirs.session.c = 3;
  await assert.rejects(theirs.save(), { code: 'ERR_SESSION_GONE' });
  await assert.rejects(async () => theirs.set('another') && (await theirs.save()), { code: 'ERR_SESSION_GONE' });
  await assert.rejects(theirs.update((data) => void (data.d = 4)), { code: 'ERR_SESSION_GONE' }); // prettier-ignore
  await bench.become([]);
});

test('a pending write of a session that others have removed brings nothing back', async (t) => {
  const bench = await faultBench(t, { timeout: 300 });
  const mine = await save(bench.store, 'call', { a: 1 });
  await bench.proxy.refuse();
  bench.proxy.reset();
  mine.session.b = 2;
  mine.set('another');
  await mine.save().catch(() => undefined);
  await (await load(bench.other, 'call')).destroy();
  await bench.proxy.mend();
  await until(async () => (await mine.save().catch(({ code }) => code)) === 'ERR_SESSION_GONE', 'it to be gone');
  await bench.store.close();
  await bench.become([]);
});

test('an in-doubt first save brings back nothing that others have removed', async (t) => {
  const bench = await faultBench(t, { timeout: 300, storeOptions: { commandTimeout: 300 } });
  // so that the server knows the scripts
  await (await save(bench.store, 'another', {})).destroy();
  bench.proxy.hang('toClient');
  const mine = new session.Session({ store: bench.store });
  mine.set('call').session = { a: 1 };
  const code = await mine.save().catch((err) => err.code);
  assert.ok(['ERR_SESSION_TIMEOUT', 'ERR_SESSION_STORE_UNAVAILABLE'].includes(code), code);
  const theirs = await until(() => load(bench.other, 'call'), 'the session that was stored all the same');
  await theirs.del('call');
  await bench.proxy.mend();
  mine.session.b = 2;
  await until(async () => (await mine.save().catch((err) => err.code)) === 'ERR_SESSION_GONE', 'it to be gone');
  await bench.become([]);
});

test('Redis that has lost everything and is back: a pending write of a lost session is an error, what begins is stored', async (t) => {
  const bench = await faultBench(t, { timeout: 300, redisArgs: [] });
  const lost = await save(bench.store, 'lost', { a: 1 });
  await bench.redis.kill();
  lost.session.b = 2;
  await lost.save().catch(() => undefined);
  await save(bench.store, 'begun', { c: 3 }).catch(() => undefined);
  await bench.redis.run();
  await bench.become(['begun']);
  await until(() => bench.store.errors.some(({ code }) => ['ERR_SESSION_GONE', 'ERR_SESSION_GIVEN_UP'].includes(code)), 'it to be told'); // prettier-ignore
  assert.deepEqual(await stored(connect(t, { port: bench.redis.port }), 'begun'), { c: 3 });
});

test('a save behind a conflict is written, wherever the connection is lost', async (t) => {
  const bench = await faultBench(t, { timeout: 1000, storeOptions: { poolSize: 1 } });
  const wrong = [];
  for (let bytes = 0; bytes < 400; bytes += 20) {
    const id = `call-${bytes}`;
    await save(bench.other, id, { a: 1 });
    const [mine, theirs] = [await load(bench.store, id), await load(bench.other, id)];
    theirs.session.theirs = 1;
    await theirs.save();
    bench.proxy.after(bytes, 'toServer', 'reset');
    mine.session.a = 2;
    const first = mine.save({ ifUnchanged: true }).catch(({ code }) => code);
    mine.session.a = 3;
    const ended = await Promise.all([first, mine.save().catch(({ code }) => code)]);
    await bench.proxy.mend();
    await until(() => bench.store.get('a').then(() => true, () => false), 'the store to be back'); // prettier-ignore
    const right = async () => (await bench.stored(id)).a === 3;
    // what was acknowledged is there at once, pending writes a little later
    const there = ended[1] === undefined ? await right() : await until(right, 'the pending writes').catch(() => false);
    if (!there) wrong.push([bytes, ...ended, (await bench.stored(id)).a]);
  }
  assert.deepEqual(wrong, []);
});
