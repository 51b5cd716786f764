'use strict';
// Keys of dialogs: their leg is stored with them, a dialog does not take the name of another one, and a save that renews
// the time to live renews it for all keys. drachtio-session makes these keys itself; here the native engine is asked.

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const native = require('../../lib/native');
const { SaveMode } = require('../../lib/native/constants');
const { connect, load, startRedis } = require('../support/sessions');
const { until } = require('../support/waiting');

const { MemoryStore, Session } = session;

const KINDS = {
  MemoryStore: () => {
    const store = new MemoryStore();
    return [store, store];
  },
  RedisStore: async (t) => {
    const { host, port } = await startRedis(t);
    return [connect(t, { host, port }), connect(t, { host, port })];
  },
  'RedisStore, near cache': async (t) => {
    const { host, port } = await startRedis(t);
    return [connect(t, { host, port, cache: true }), connect(t, { host, port, cache: true })];
  }
};

const write = (mks, mode = SaveMode.ALWAYS) =>
  new Promise((resolve, reject) => {
    mks.write(mode, (err) => (err ? reject(err) : resolve()));
  });

// The session of a dialog that begins; gives it with the names of its keys.
async function begin(store, id, leg, { claims = true, own } = {}) {
  const mks = new Session({ store });
  if (own) {
    mks.set(own);
    await mks.save();
  }
  native.recordAddKey(mks.record, id, null, leg, claims);
  mks.session = { leg };
  await write(mks);
  return { mks, names: native.recordKeys(mks.record) };
}

// Waits until a store finds a session under a key; a near cache hears of changes a moment later.
const leadsTo = (store, id, mks) =>
  until(async () => (await load(store, id))?.uuid === mks.uuid, `the session of ${id} by ${mks.keys}`);

for (const [kind, open] of Object.entries(KINDS)) {
  test(kind, async (t) => {
    const [store, other] = await open(t);

    await t.test('a dialog has its Call-ID if no other dialog has it', async () => {
      const first = await begin(store, 'a', '<r');
      const second = await begin(other, 'a', '<s');
      const third = await begin(store, 'a', '<s');
      const fourth = await begin(other, 'a', '>r s', { own: 'own' });
      const last = `a;remote-tag=s;session=${third.mks.uuid.slice(-12)}`;
      assert.deepEqual(first.names, ['mks:a']);
      assert.deepEqual(second.names, ['mks:a;remote-tag=s']);
      assert.deepEqual(third.names, [`mks:${last}`]);
      assert.deepEqual(fourth.names, ['mks:own', 'mks:a;local-tag=r']);
      const found = { a: first, 'a;remote-tag=s': second, [last]: third, 'a;local-tag=r': fourth, own: fourth };
      for (const [id, { mks }] of Object.entries(found)) {
        for (const at of [store, other]) await leadsTo(at, id, mks);
      }
      const loaded = await load(store, 'own');
      assert.equal(native.recordLeg(loaded.record, 'a;local-tag=r'), '>r s');
      assert.equal(native.recordLeg(loaded.record, 'own'), null);
      assert.equal(native.recordKeyOf(loaded.record, 'a', 'x', 'r'), 'a;local-tag=r');
      assert.equal(native.recordKeyOf(loaded.record, 'a', 'r', null), null);
      // by the name that the key had before
      await first.mks.destroy();
      await third.mks.del('a');
      for (const { mks } of [second, fourth]) await mks.destroy();
      assert.deepEqual(await store.ids(), []);
    });

    await t.test('a dialog takes no name of a challenged request of another caller', async () => {
      const first = await begin(store, 'b', '<r ?');
      const second = await begin(other, 'b', '<s');
      assert.deepEqual(second.names, ['mks:b;remote-tag=s']);
      await leadsTo(store, 'b', first.mks);
      await Promise.all([first.mks.destroy(), second.mks.destroy()]);
    });

    await t.test('a dialog takes the name of a challenged request, of an application, and that of a move', async () => {
      for (const leg of ['<r ?', '<r s ?', '?', '']) {
        const first = await begin(store, 'b', leg);
        if (leg) assert.equal(native.recordAwaitsRetry(first.mks.record, 'b'), true, leg);
        const second = await begin(other, 'b', '<r');
        assert.deepEqual(second.names, ['mks:b'], leg);
        await leadsTo(store, 'b', second.mks);
        const moved = await begin(store, 'b', '<s', { claims: false, own: 'mover' });
        assert.deepEqual(moved.names, ['mks:mover', 'mks:b'], leg);
        await leadsTo(other, 'b', moved.mks);
        await leadsTo(other, 'mover', moved.mks);
        await moved.mks.destroy();
        assert.deepEqual(await store.ids(), [], leg);
      }
    });

    await t.test('a resource stays beside the leg', async () => {
      const { mks } = await begin(store, 'c', '<r');
      mks.set('c', { user: 'jack' });
      await write(mks);
      const loaded = await load(other, 'c');
      assert.deepEqual(loaded.get('c'), { user: 'jack' });
      assert.equal(native.recordLeg(loaded.record, 'c'), '<r');
      native.recordAddKey(loaded.record, 'c', '1', '');
      await write(loaded);
      const again = await until(async () => {
        const found = await load(store, 'c');
        return native.recordLeg(found.record, 'c') === null && found;
      }, 'a key without a leg');
      await again.destroy();
    });
  });
}

test('Redis has the leg, then the resource, and the uuid without its prefix', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port });
  const { mks } = await begin(store, 'a', '<r');
  const field = (name) => server.cli('HGET', 'sess:mks:a', name);
  assert.equal(await field('@mks:a'), '<r');
  assert.equal(`mks:session:${await field('uuid')}`, mks.uuid);
  mks.set('a', { x: 1 });
  await write(mks);
  assert.equal(await field('@mks:a'), '<r\n{"x":1}');
});

test('an entry of a JavaScript store has the legs, if there are any', async () => {
  const entries = new Map();
  const store = {
    get: (sid, done) => done(null, entries.get(sid)),
    set: (sid, value, done) => done(null, void entries.set(sid, value)),
    destroy: (sid, done) => done(null, void entries.delete(sid))
  };
  const { mks } = await begin(store, 'a', '<r');
  assert.deepEqual(entries.get(mks.uuid), { keys: { 'mks:a': null }, session: { leg: '<r' }, legs: { 'mks:a': '<r' } });
  const loaded = await load(store, 'a');
  assert.equal(native.recordLeg(loaded.record, 'a'), '<r');
  // it takes the name: such a store can't check
  const { names } = await begin(store, 'a', '<s');
  assert.deepEqual(names, ['mks:a']);
  assert.equal(native.recordRenewalIn(mks.record), null);
  native.recordAddKey(loaded.record, 'b', null, '');
  const plain = await begin(store, 'c', '');
  assert.deepEqual(Object.keys(entries.get(plain.mks.uuid)), ['keys', 'session']);
});

const isUpTo = (most, ms) => ms > 0 && ms <= most;

test('a save of an unchanged session renews the time to live of all keys when half of it has passed', async (t) => {
  const server = await startRedis(t);
  for (const options of [{}, { cache: true }]) {
    const store = connect(t, { host: server.host, port: server.port, ttl: 4, ...options });
    const { mks } = await begin(store, 'a', '<r', { own: 'own' });
    const loaded = await load(store, 'own');
    for (const { record } of [mks, loaded]) assert.ok(isUpTo(2000, native.recordRenewalIn(record)));
    await write(mks, SaveMode.CHANGES);
    await until(() => native.recordRenewalIn(mks.record) === 0, 'the renewal');
    const left = async (id) => Number(await server.cli('PTTL', `sess:mks:${id}`));
    for (const id of ['own', 'a']) assert.ok((await left(id)) < 2100, id);
    await write(mks, SaveMode.CHANGES);
    for (const id of ['own', 'a']) assert.ok((await left(id)) > 3000, id);
    assert.ok(isUpTo(2000, native.recordRenewalIn(mks.record)));
    await mks.destroy();
  }
});

test('in a MemoryStore too a renewal falls due when half of the time to live has passed', async () => {
  const { mks } = await begin(new MemoryStore({ ttl: 1 }), 'a', '<r');
  assert.ok(isUpTo(500, native.recordRenewalIn(mks.record)));
  await until(() => native.recordRenewalIn(mks.record) === 0, 'the renewal');
  assert.equal(native.recordRenewalIn(native.newRecord()), null, 'it is not stored');
});

test('dialogIds, and what is refused', () => {
  assert.deepEqual(native.dialogIds('a', 'r', 'l'), ['a', 'a;remote-tag=r', 'a;local-tag=l']);
  assert.deepEqual(native.dialogIds('a', null, ''), ['a']);
  const record = native.newRecord();
  for (const leg of ['r', '<', '<a\n', '<a ', '>a b c']) {
    const refused = leg !== '>a b c';
    const add = () => native.recordAddKey(record, 'a', null, leg);
    if (refused) assert.throws(add, { code: 'ERR_SESSION_ARGUMENT' }, leg);
    else add();
  }
  assert.throws(() => native.recordAddKey(record, ''), { code: 'ERR_SESSION_ARGUMENT' });
  for (const call of ['', 'é😀', 'x'.repeat(70000), ';', '\u0000']) {
    assert.deepEqual(native.dialogIds(call, null, null), [call]);
    assert.equal(native.recordKeyOf(record, `${call}!`, 'é', null), null);
  }
});
