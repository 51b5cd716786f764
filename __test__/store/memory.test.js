'use strict';
// MemoryStore: values by name, time to live, eviction, options, the warning, the end.

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const { run } = require('../support/process');
const { called, load, save, stored } = require('../support/sessions');
const { VALUES } = require('../support/values');
const { until } = require('../support/waiting');

const { MemoryStore, Session, SessionError } = session;

test('every kind of value comes back, by promise and by callback', async () => {
  const store = new MemoryStore();
  for (const [name, value] of Object.entries(VALUES)) {
    assert.equal(await store.set(name, value), undefined);
    assert.deepEqual(await store.get(name), value);
    assert.deepEqual(await called(store, 'set', `cb:${name}`, value), [null, undefined]);
    assert.deepEqual(await called(store, 'get', `cb:${name}`), [null, value]);
  }
  assert.equal(await store.get('missing'), null);
  assert.deepEqual(await called(store, 'get', 'missing'), [null, null]);
});

test('what was stored is a copy', async () => {
  const store = new MemoryStore();
  const value = { list: [1] };
  await store.set('a', value);
  value.list.push(2);
  const got = await store.get('a');
  assert.deepEqual(got, { list: [1] });
  got.list.push(3);
  assert.deepEqual(await store.get('a'), { list: [1] });
});

test('destroy, ids, all, length and clear, by promise and by callback', async () => {
  for (const ask of [
    (store, ...args) => called(store, ...args),
    async (store, m, ...args) => [null, await store[m](...args)]
  ]) {
    const store = new MemoryStore();
    assert.deepEqual(await ask(store, 'ids'), [null, []]);
    assert.deepEqual(await ask(store, 'all'), [null, []]);
    assert.deepEqual(await ask(store, 'length'), [null, 0]);
    for (const name of ['a', 'b', 'c']) await store.set(name, { name });
    assert.deepEqual(await ask(store, 'destroy', 'b'), [null, undefined]);
    assert.deepEqual(await ask(store, 'destroy', 'missing'), [null, undefined]);
    const [, ids] = await ask(store, 'ids');
    const [, all] = await ask(store, 'all');
    assert.deepEqual(ids.toSorted(), ['a', 'c']);
    assert.deepEqual(all.map(({ name }) => name).toSorted(), ['a', 'c']);
    assert.deepEqual(await ask(store, 'length'), [null, 2]);
    assert.deepEqual(await ask(store, 'clear'), [null, undefined]);
    assert.deepEqual(await ask(store, 'length'), [null, 0]);
    assert.equal(await store.get('a'), null);
  }
});

test('a callback never comes in the same turn', async () => {
  const store = new MemoryStore();
  let turn = true;
  await new Promise((resolve) => {
    store.set('a', 1, () => {
      assert.equal(turn, false);
      resolve();
    });
    turn = false;
  });
  turn = true;
  await new Promise((resolve) => {
    store.get('a', (err, value) => {
      assert.deepEqual([err, value, turn], [null, 1, false]);
      resolve();
    });
    turn = false;
  });
});

test('a session is one entry, under any of its keys', async () => {
  const store = new MemoryStore();
  const mks = await save(store, 'leg-a', { user: 'jack' });
  mks.set('leg-b', { leg: 2 });
  await mks.save();
  const envelope = { keys: { 'mks:leg-a': null, 'mks:leg-b': { leg: 2 } }, session: { user: 'jack' } };
  assert.equal(await store.length(), 1);
  assert.deepEqual(await store.get('mks:leg-a'), envelope);
  assert.deepEqual(await store.get('mks:leg-b'), envelope, 'by the key of the other leg');
  assert.deepEqual(await store.all(), [envelope]);
  await store.destroy('mks:leg-b');
  assert.equal(await store.length(), 0, 'destroy by the key of the other leg');
  assert.equal(await load(store, 'leg-a'), null);
});

test('what has expired is gone', async () => {
  const store = new MemoryStore({ ttl: 0.02 });
  await store.set('value', 1);
  await save(store, 'call', { a: 1 });
  assert.equal(await store.length(), 2, 'they are there before');
  await until(async () => (await store.length()) === 0, 'the entries to expire');
  assert.equal(await store.get('value'), null);
  assert.equal(await load(store, 'call'), null);
});

test('touch and a save start the time to live anew, reading does not', async () => {
  const store = new MemoryStore({ ttl: 0.3 });
  await store.set('read', 1);
  await store.set('touched', 1);
  const mks = await save(store, 'saved', { count: 0 });
  // While `read` lives, the others are kept alive: they must be there when it has expired.
  await until(async () => {
    await store.touch('touched');
    mks.session.count++;
    await mks.save();
    return (await store.get('read')) === null;
  }, 'the entry that is only read to expire');
  assert.equal(await store.get('touched'), 1);
  assert.equal((await stored(store, 'saved')).count, mks.session.count);
  assert.deepEqual(await called(store, 'touch', 'touched'), [null, undefined]);
  assert.deepEqual(await called(store, 'touch', 'touched', 1), [null, undefined]);
  assert.deepEqual(await called(store, 'touch', 'missing'), [null, undefined]);
});

test('touch by the key of another leg keeps the session', async () => {
  const store = new MemoryStore({ ttl: 0.3 });
  const mks = await save(store, 'leg-a', { a: 1 });
  mks.set('leg-b');
  await mks.save();
  await store.set('read', 1);
  await until(async () => {
    await store.touch('mks:leg-b');
    return (await store.get('read')) === null;
  }, 'the entry that is only read to expire');
  assert.notEqual(await load(store, 'leg-a'), null, 'it was stored before that entry');
});

test('ttl may be a function of the data', async () => {
  const store = new MemoryStore({ ttl: (data) => (data.short ? 0.02 : 1000) });
  await store.set('short', { short: true });
  await store.set('long', { short: false });
  await save(store, 'short', { short: true });
  await save(store, 'long', { short: false });
  assert.equal(await store.length(), 4);
  await until(async () => (await store.length()) === 2, 'the short ones to expire');
  assert.deepEqual((await store.ids()).toSorted(), ['long', 'mks:long']);
});

test('beyond max the entry used longest ago is evicted, with an event', async () => {
  const store = new MemoryStore({ max: 3 });
  const evicted = [];
  store.on('evict', (name, value) => evicted.push([name, value]));
  const mks = await save(store, 'call', { at: new Date(5) });
  mks.set('other');
  await mks.save();
  await store.set('a', { a: 1 });
  await store.set('b', 2);
  await store.get('a');
  assert.deepEqual(evicted, []);
  await store.set('c', 3);
  await until(() => evicted.length === 1, 'evict');
  const envelope = { keys: { 'mks:call': null, 'mks:other': null }, session: { at: new Date(5) } };
  assert.deepEqual(evicted, [['mks:call', envelope]]);
  assert.equal(await load(store, 'other'), null, 'no key leads to what was evicted');
  await store.set('d', 4);
  await until(() => evicted.length === 2, 'evict');
  assert.deepEqual(evicted[1], ['b', 2], 'a was used after b');
  assert.deepEqual((await store.ids()).toSorted(), ['a', 'c', 'd']);
  await store.set('a', 5);
  assert.equal(evicted.length, 2, 'to replace an entry evicts nothing');
});

test('without max nothing is evicted', async () => {
  const store = new MemoryStore();
  store.on('evict', (name) => assert.fail(`${name} was evicted`));
  await Promise.all(Array.from({ length: 50000 }, (_, i) => store.set(`n${i}`, i)));
  assert.equal(await store.length(), 50000);
  assert.equal(await store.get('n0'), 0);
});

test('wrong options are errors that name the option', () => {
  const circular = {};
  circular.self = circular;
  const wrong = [
    [{ max: 0 }, 'max'], [{ max: -1 }, 'max'], [{ max: 1.5 }, 'max'], [{ max: 'many' }, 'max'], [{ max: {} }, 'max'],
    [{ max: NaN }, 'max'], [{ ttl: 0 }, 'ttl'], [{ ttl: -1 }, 'ttl'], [{ ttl: 'soon' }, 'ttl'], [{ ttl: true }, 'ttl'],
    [{ ttl: NaN }, 'ttl'], [{ ttl: 1e12 }, 'ttl'], [{ ttl: 5n }, 'ttl'], [{ maximum: 5 }, 'maximum'],
    [{ client: circular }, 'client'], [{ onEvict: () => undefined }, 'onEvict']
  ]; // prettier-ignore
  const missed = wrong.filter(([options, name]) => {
    try {
      return Boolean(new MemoryStore(options));
    } catch (err) {
      return !(err.code === 'ERR_SESSION_OPTION' && err.message.includes(`\`${name}\``));
    }
  });
  assert.deepEqual(missed, []);
  for (const options of [null, 5, 'x', []]) {
    assert.throws(() => new MemoryStore(options), { code: 'ERR_SESSION_OPTION', message: /must be an object/ });
  }
  assert.ok(new MemoryStore({ max: undefined, ttl: undefined }));
});

test('an error of an option is a SessionError', () => {
  for (const options of [{ max: 0 }, { maximum: 5 }, []]) {
    assert.throws(
      () => new MemoryStore(options),
      (err) => err instanceof SessionError && err.name === 'SessionError'
    );
  }
});

test('a ttl function that gives no number of seconds is an error of the save', async () => {
  for (const seconds of [undefined, 0, -1, NaN, '60', Infinity]) {
    const store = new MemoryStore({ ttl: () => seconds });
    await assert.rejects(store.set('a', 1), { code: 'ERR_SESSION_OPTION', message: /ttl/ });
    const mks = new Session({ store });
    mks.set('a');
    await assert.rejects(mks.save(), { code: 'ERR_SESSION_OPTION', message: /ttl/ });
    assert.equal(await store.length(), 0);
  }
});

test('a name that is no text is an error, given as any other', async () => {
  const store = new MemoryStore();
  for (const name of ['', undefined, null, 5, {}]) {
    for (const [method, ...args] of [['get'], ['set', 1], ['destroy'], ['touch']]) {
      const refused = { code: 'ERR_SESSION_ARGUMENT' };
      await assert.rejects(() => store[method](name, ...args), refused);
      const [err] = await called(store, method, name, ...args);
      assert.equal(err.code, refused.code, `${method} by callback`);
    }
  }
});

test('in production it says once on the console that it is for one process', async () => {
  const code = `
    session({ store: new session.MemoryStore() });
    session();
    session({ store: new session.MemoryStore({ max: 5 }) });
  `;
  const production = await run(code, { env: { NODE_ENV: 'production' } });
  assert.equal((production.err + production.out).match(/MemoryStore is for one process/g)?.length, 1, production.err);
  assert.equal(production.code, 0);
  const development = await run(code, { env: { NODE_ENV: 'development' } });
  assert.equal(development.err + development.out, '');
});

test('a closed store refuses everything', async () => {
  const store = new MemoryStore();
  const mks = await save(store, 'call', { a: 1 });
  await store.set('a', 1);
  assert.equal(await store.close(), undefined);
  const closed = { code: 'ERR_SESSION_STORE_CLOSED', name: 'SessionError' };
  const calls = [
    ['get', 'a'],
    ['set', 'a', 1],
    ['destroy', 'a'],
    ['touch', 'a'],
    ['all'],
    ['ids'],
    ['length'],
    ['clear']
  ];
  for (const [method, ...args] of calls) {
    await assert.rejects(store[method](...args), closed, method);
    const [err] = await called(store, method, ...args);
    assert.equal(err.code, closed.code);
  }
  mks.session.a = 2;
  await assert.rejects(mks.save(), closed);
  await assert.rejects(load(store, 'call'), closed);
  assert.deepEqual(await called(store, 'close'), [null, undefined], 'closing twice is no error');
});
