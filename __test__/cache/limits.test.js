'use strict';
// The near cache: its options, how much and how long it keeps, and what becomes of it when the server can't tell of
// changes, or can't be heard.

const assert = require('node:assert/strict');
const test = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../..');
const { Monitor } = require('../support/network/monitor');
const { Proxy } = require('../support/network/proxy');
const { scaled } = require('../support/machine');
const { message } = require('../support/message');
const { connect, load, save, startRedis, stored } = require('../support/sessions');
const { until, within } = require('../support/waiting');

const { RedisStore } = session;

const cacheOf = (store) => store.stats().cache;

async function open(t, options = {}) {
  const server = await startRedis(t);
  const at = { host: server.host, port: server.port };
  const [here, there] = [connect(t, { ...at, ...options }), connect(t, { ...at, cache: false })];
  await Promise.all([here.length(), there.length()]);
  return { server, at, here, there };
}

const isOn = (store) => until(() => cacheOf(store).on, 'the cache to be on');

// How often `store` reads from Redis while something is done.
async function reads(server, act) {
  const monitor = await Monitor.start(server);
  try {
    await act();
    return (await monitor.verbs()).filter((verb) => verb === 'HGETALL').length;
  } finally {
    monitor.stop();
  }
}

test('what is no `cache` is refused by name', () => {
  const bad = [1, 'yes', [], NaN, () => 1, { max: 1 }, { max: 'much' }, { max: 1.5e6 + 0.5 }, { max: -1 }, { ttl: 0 }];
  for (const cache of [
    ...bad,
    { ttl: -1 },
    { ttl: () => 1 },
    { ttl: Infinity },
    { size: 1 },
    { max: 4096, ttl: 'x' }
  ]) {
    const refused = { code: 'ERR_SESSION_OPTION', message: /`cache`/ };
    assert.throws(() => new RedisStore({ port: 1, cache }), refused, JSON.stringify(cache));
  }
  assert.throws(() => new session.MemoryStore({ cache: true }), { code: 'ERR_SESSION_OPTION' });
});

test('it is on unless it is switched off, and by `true` and options', async (t) => {
  const { server, at } = await open(t);
  for (const cache of [undefined, true, {}, { max: 65536 }, { ttl: scaled(500) / 1000 }, { max: '65536', ttl: '10' }]) {
    const store = connect(t, { ...at, cache });
    const id = `on ${JSON.stringify(cache)}`;
    await store.length();
    await save(store, id, { a: 1 });
    assert.equal(await reads(server, () => load(store, id)), 0, id);
    assert.equal(cacheOf(store).on, true);
  }
  const store = connect(t, { ...at, cache: false });
  await save(store, 'off', { a: 1 });
  assert.equal(await reads(server, () => load(store, 'off')), 1);
  assert.deepEqual(cacheOf(store), { on: false, sessions: 0, bytes: 0, hits: 0, misses: 0, invalidations: 0 });
});

for (const [name, rules] of [
  ['CLIENT TRACKING', '-client|tracking'],
  ['any CLIENT', '-client']
]) {
  test(`a user that may not use ${name}: no cache, and everything works`, async (t) => {
    const { server, at, there } = await open(t);
    await server.cli('ACL', 'SETUSER', 'limited', 'on', '>secret', '~*', '&*', '+@all', rules);
    const store = connect(t, { ...at, username: 'limited', password: 'secret' });
    const mks = await save(store, 'call', { a: 1 });
    assert.equal(cacheOf(store).on, false);
    assert.equal(await reads(server, () => load(store, 'call')), 1);
    const other = await load(there, 'call');
    other.session.a = 2;
    await other.save();
    assert.deepEqual(await stored(store, 'call'), { a: 2 });
    mks.session.b = 1;
    await mks.save();
    await mks.update((data) => void (data.b += data.a));
    assert.deepEqual(await stored(there, 'call'), { a: 2, b: 3 });
    await mks.destroy();
    assert.equal(await server.size(), 0);
    assert.deepEqual(store.errors, []);
  });
}

test('it is bounded by bytes, and keeps what was used last', async (t) => {
  const max = 65536;
  const { here, server } = await open(t, { cache: { max } });
  const text = 'x'.repeat(1000);
  for (let i = 0; i < 200; i++) {
    await save(here, `call-${i}`, { i, text });
    await load(here, 'call-0');
    const { bytes, sessions } = cacheOf(here);
    assert.ok(bytes <= max && bytes >= sessions * 1000, `${bytes} bytes in ${sessions} sessions`);
  }
  assert.ok(cacheOf(here).sessions > 20, `${cacheOf(here).sessions} are kept`);
  assert.equal(await reads(server, () => Promise.all([load(here, 'call-0'), load(here, 'call-199')])), 0);
  assert.equal(await reads(server, () => load(here, 'call-1')), 1);
  for (let i = 0; i < 200; i++) assert.deepEqual(await stored(here, `call-${i}`), { i, text });
});

test('a session that would take more than an eighth of it is not kept', async (t) => {
  const { here, server } = await open(t, { cache: { max: 16384 } });
  const mks = await save(here, 'call', { text: 'x'.repeat(3000) });
  assert.deepEqual([cacheOf(here).sessions, await reads(server, () => load(here, 'call'))], [0, 1]);
  mks.session.text = 'short';
  await mks.save();
  assert.deepEqual([cacheOf(here).sessions, await reads(server, () => load(here, 'call'))], [1, 0]);
});

test('`cache.ttl`: then it is asked for again', async (t) => {
  const { here, server } = await open(t, { cache: { ttl: 0.2 } });
  const saved = Date.now();
  await save(here, 'call', { a: 1 });
  const count = await reads(server, () => load(here, 'call'));
  assert.ok(count === 0 || Date.now() - saved >= 200, 'from the cache at first');
  await sleep(250);
  assert.equal(await reads(server, () => load(here, 'call')), 1);
});

test('a session does not outlive its time to live in the cache', async (t) => {
  const { here } = await open(t, { ttl: 0.2 });
  const mks = await save(here, 'call', { a: 1 });
  await sleep(300);
  assert.equal(await stored(here, 'call'), null);
  mks.session.a = 2;
  await assert.rejects(mks.save(), { code: 'ERR_SESSION_GONE' });
});

test('the time to live of a session that is only read is renewed all the same', async (t) => {
  const ttl = scaled(2000);
  const { here, server } = await open(t, { ttl: ttl / 1000 });
  const attach = session({ store: here });
  await save(here, 'call', { a: 1 });
  for (const begun = Date.now(); Date.now() - begun < 2.5 * ttl;) {
    const { req, res, left } = message('INFO', 'call', true);
    await new Promise((resolve) => {
      attach(req, res, resolve);
    });
    assert.deepEqual({ ...req.session }, { a: 1 });
    res.send(200);
    await left;
    await sleep(20);
  }
  assert.ok(Number(await server.cli('PTTL', 'sess:mks:call')) > 0);
  const { hits, misses } = cacheOf(here);
  assert.ok(hits > 10 * misses, `${hits} hits, ${misses} misses`);
});

test('a connection that is lost takes everything along', async (t) => {
  const { here, there, server } = await open(t);
  await isOn(here);
  for (let i = 0; i < 50; i++) await save(here, `call-${i}`, { i });
  assert.equal(cacheOf(here).sessions, 50);
  const { made } = here.stats().connections;
  await server.cli('CLIENT', 'KILL', 'TYPE', 'normal');
  await until(() => cacheOf(here).sessions === 0, 'everything to be dropped');
  await until(() => here.stats().connections.made > made, 'new connections');
  await isOn(here);
  assert.equal(await reads(server, () => load(here, 'call-7')), 1);
  assert.equal(await reads(server, () => load(here, 'call-7')), 0);
  await there.length();
  const other = await load(there, 'call-7');
  other.session.i = 'changed';
  await other.save();
  await until(async () => (await stored(here, 'call-7')).i === 'changed', 'the change to be seen');
});

test('one of several connections that is lost is enough', async (t) => {
  const { here, server } = await open(t, { poolSize: 4 });
  await isOn(here);
  for (let i = 0; i < 50; i++) await save(here, `call-${i}`, { i });
  const clients = (await server.cli('CLIENT', 'LIST')).split('\n').filter((line) => / flags=t/.test(line));
  assert.equal(clients.length, 4);
  await server.cli('CLIENT', 'KILL', 'ID', /\bid=(\d+)/.exec(clients[2])[1]);
  await until(() => cacheOf(here).sessions === 0, 'everything to be dropped');
  await isOn(here);
});

test('while Redis is away nothing is served that may be old, and what happened meanwhile is seen', async (t) => {
  const { server, there } = await open(t);
  const proxy = await Proxy.start(server);
  t.after(() => proxy.stop());
  const here = connect(t, { port: proxy.port, connectTimeout: scaled(500) });
  await here.length();
  for (const id of ['changed', 'removed']) await save(here, id, { n: 1 });
  await proxy.refuse();
  proxy.reset();
  await until(() => cacheOf(here).sessions === 0, 'everything to be dropped');
  assert.equal(cacheOf(here).on, false);
  const other = await load(there, 'changed');
  other.session.n = 2;
  await other.save();
  await there.destroy('mks:removed');
  await assert.rejects(load(here, 'changed'), { code: 'ERR_SESSION_STORE_UNAVAILABLE' });
  await proxy.mend();
  await isOn(here);
  const again = await until(() => stored(here, 'changed').catch(() => null), 'the store to be back');
  assert.deepEqual(again, { n: 2 });
  assert.equal(await stored(here, 'removed'), null);
});

// The replies of the server are held back until the deadline has passed: the operations are in doubt.
test('what comes of operations that were given up does not come back from the cache', async (t) => {
  const { server, there } = await open(t);
  const proxy = await Proxy.start(server);
  t.after(() => proxy.stop());
  const here = connect(t, { port: proxy.port });
  await here.length();
  await save(there, 'call', { n: 1 });
  const attach = session({ store: here, timeout: 200 });
  proxy.stall('toClient');
  // the BYE gives up its load, and removes the key by its name
  const { req, res, left } = message('BYE', 'call', true);
  const handled = new Promise((resolve) => {
    attach(req, res, resolve);
  });
  await within(handled, 'the handler');
  assert.equal(req.mks.degraded, true);
  res.send(200);
  await within(left, 'the response');
  await proxy.mend();
  await until(async () => (await stored(there, 'call')) === null, 'the session to be removed');
  await until(() => here.stats().inFlight === 0 && here.stats().pendingWrites === 0, 'the last replies');
  assert.equal(await stored(here, 'call'), null);
});

test('after close() nothing is found in the cache either', async (t) => {
  const { here } = await open(t);
  await save(here, 'call', { n: 1 });
  await here.close();
  await assert.rejects(load(here, 'call'), { code: 'ERR_SESSION_STORE_CLOSED' });
});

test('stats() counts what was done', async (t) => {
  const { here, there, server } = await open(t);
  const mks = await save(here, 'call', { n: 1 });
  for (let i = 0; i < 3; i++) await load(here, 'call');
  await load(here, 'none');
  await server.cli('SET', 'sess:mks:spoilt', 'x');
  await assert.rejects(load(here, 'spoilt'));
  await there.destroy('mks:call');
  await assert.rejects(mks.save(), { code: 'ERR_SESSION_GONE' });
  const { latencies, failures, cache, connections, batches, ...rest } = here.stats();
  assert.deepEqual([latencies.load.count, latencies.save.count], [2, 2]);
  const { mean, p50, p99 } = latencies.load;
  assert.ok(mean > 0 && p50 <= p99 && mean < 2 * p99, JSON.stringify(latencies));
  assert.deepEqual(failures, { ERR_SESSION_CORRUPT: 1, ERR_SESSION_GONE: 1 });
  assert.deepEqual([cache.on, cache.hits, cache.misses], [true, 3, 2]);
  assert.deepEqual(connections, { up: 1, of: 1, made: 1 });
  assert.ok(batches.commands >= batches.count && batches.largest >= 1);
  assert.deepEqual(rest, { inFlight: 0, pendingWrites: 0, pendingBytes: 0, breakerOpen: false });
  const inMemory = Object.keys(new session.MemoryStore().stats());
  assert.deepEqual(inMemory.toSorted(), ['cache', 'failures', 'latencies', ...Object.keys(rest)].toSorted());
});
