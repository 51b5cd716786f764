'use strict';
// Session, the multi-key session ("mks").

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const session = require('../..');
const { onEachStore } = require('../support/contract/bench');

const { Session } = session;

class Endpoint {
  constructor(fields) {
    Object.assign(this, fields);
  }

  attachSession(mks) {
    Object.defineProperty(this, 'attached', { value: mks, enumerable: false, configurable: true });
  }
}
session.addClass(Endpoint);

const called = (start) =>
  new Promise((resolve, reject) => {
    let turn = true;
    const given = start((err, value) => {
      if (turn) reject(new Error('the callback came in the same turn'));
      else if (err) reject(err);
      else resolve(value);
    });
    turn = false;
    assert.equal(given, undefined, 'with a callback there is no promise');
  });

describe('Session', () => {
  it('needs a store', () => {
    assert.throws(() => new Session(), { name: 'SessionError', code: 'ERR_SESSION_ARGUMENT' });
    assert.throws(() => new Session({}), { code: 'ERR_SESSION_ARGUMENT' });
  });

  it('has the statics loadFromStorage, resolvers, addResolvers and SessionProto', () => {
    assert.equal(typeof Session.loadFromStorage, 'function');
    assert.equal(typeof Session.addResolvers, 'function');
    assert.ok(Array.isArray(Session.resolvers));
    const mks = new Session({ store: new session.MemoryStore() });
    assert.ok(mks.session instanceof Session.SessionProto);
  });

  it('addResolvers registers classes; an application may push to resolvers as well', async () => {
    class Added {
      constructor(fields) {
        Object.assign(this, fields);
      }
    }
    class Pushed extends Added {}
    Session.addResolvers([Added]);
    Session.resolvers.push(Pushed);
    const store = new session.MemoryStore();
    const mks = new Session({ store });
    Object.assign(mks.set('a').session, { added: new Added({ x: 1 }), pushed: new Pushed({ y: 2 }) });
    await mks.save();
    const found = await Session.loadFromStorage({ store }, 'a');
    assert.ok(found.session.added instanceof Added);
    assert.equal(found.session.pushed.constructor, Pushed);
    assert.deepEqual([found.session.added.x, found.session.pushed.y], [1, 2]);
  });
});

onEachStore((test) => {
  test('uuid, store, session, keys, keyCount, keyData, isDirty()', ({ first: store }) => {
    const mks = new Session({ store });
    assert.match(mks.uuid, /^mks:session:[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
    assert.equal(mks.store, store);
    assert.deepEqual([mks.keys, mks.keyCount, mks.keyData], [[], 0, {}]);
    mks.set('a');
    mks.set('b', { leg: 'B' });
    assert.deepEqual([mks.keys, mks.keyCount], [['mks:a', 'mks:b'], 2]);
    assert.deepEqual(mks.keyData, { 'mks:a': null, 'mks:b': { leg: 'B' } });
    assert.notEqual(new Session({ store }).uuid, mks.uuid);
  });

  test('session can be set: its content is replaced', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a');
    const data = mks.session;
    data.old = 1;
    mks.session = { fresh: 2 };
    assert.equal(mks.session, data);
    assert.deepEqual({ ...data }, { fresh: 2 });
    await mks.save();
    assert.deepEqual(await bench.stored('a'), { fresh: 2 });
    for (const wrong of [null, undefined, 'text', 1, []]) {
      assert.throws(() => (mks.session = wrong), { code: 'ERR_SESSION_ARGUMENT' });
    }
  });

  test('isDirty() tells whether a save would write', async ({ first: store }) => {
    const mks = new Session({ store }).set('a');
    mks.session.x = { y: 1 };
    assert.equal(mks.isDirty(), true);
    await mks.save();
    assert.equal(mks.isDirty(), false);
    mks.session.x.y = 2;
    assert.equal(mks.isDirty(), true, 'a change deep inside');
    mks.session.x.y = 1;
    assert.equal(mks.isDirty(), false, 'and back');
    mks.set('b');
    assert.equal(mks.isDirty(), true, 'a key');
    await mks.save();
    assert.equal(mks.isDirty(), false);
    delete mks.session.x;
    assert.equal(mks.isDirty(), true);
  });

  test('set(id), set(resource) and set(id, resource) add keys, each of which finds the session', async (bench) => {
    const mks = new Session({ store: bench.first });
    mks.set('a').set({ sessionID: 'b' });
    mks.set('c', { leg: 'C' });
    mks.session.x = 1;
    await mks.save();
    for (const id of ['a', 'b', 'c']) {
      const found = await bench.find(id);
      assert.deepEqual([found.uuid, [...found.keys].toSorted()], [mks.uuid, ['mks:a', 'mks:b', 'mks:c']]);
      assert.deepEqual({ ...found.session }, { x: 1 });
    }
  });

  test('set refuses what is no key', ({ first: store }) => {
    const mks = new Session({ store });
    for (const wrong of ['', undefined, null, 1, {}, { sessionID: 7 }]) {
      assert.throws(() => mks.set(wrong), { code: 'ERR_SESSION_ARGUMENT' });
    }
    assert.equal(mks.keyCount, 0);
  });

  test('a resource given with a key comes back from get(id), as an instance of its class', async (bench) => {
    const mks = new Session({ store: bench.first });
    const endpoint = new Endpoint({ sessionID: 'b', address: '10.0.0.1', since: new Date(86400000) });
    mks
      .set('a', endpoint)
      .set(endpoint)
      .set('plain', { n: [1] })
      .set('none');
    assert.equal(mks.get('a'), endpoint);
    await mks.save();
    const found = await bench.find('a');
    for (const id of ['a', 'b']) {
      const resource = found.get(id);
      assert.ok(resource instanceof Endpoint, `${id} is an Endpoint`);
      assert.deepEqual({ ...resource }, { sessionID: 'b', address: '10.0.0.1', since: new Date(86400000) });
    }
    assert.deepEqual(found.get('plain'), { n: [1] });
    assert.equal(found.get('none') ?? null, null);
    assert.equal(found.get('unknown') ?? null, null);
    assert.ok(found.keyData['mks:a'] instanceof Endpoint);
  });

  test('after a load, objects in the keys and in the data get attachSession(mks) called', async (bench) => {
    const mks = new Session({ store: bench.first });
    mks.set('a', new Endpoint({ leg: 'A' }));
    Object.assign(mks.session, { one: new Endpoint({ n: 1 }), deep: [{ two: new Endpoint({ n: 2 }) }], none: {} });
    await mks.save();
    const found = await bench.find('a');
    assert.notEqual(found, mks);
    assert.equal(found.session.one.attached, found);
    assert.equal(found.session.deep[0].two.attached, found);
    assert.equal(found.get('a').attached, found);
    assert.deepEqual(Object.keys(found.session.one), ['n']);
  });

  test('a resource that changes is saved with the session', async (bench) => {
    const endpoint = new Endpoint({ state: 'early' });
    const mks = new Session({ store: bench.first }).set('a', endpoint);
    await mks.save();
    endpoint.state = 'confirmed';
    assert.equal(mks.isDirty(), true);
    await mks.save();
    assert.equal((await bench.find('a')).get('a').state, 'confirmed');
  });

  test('del(id) and del(resource) remove a key, and the session with its last key', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a').set({ sessionID: 'b' }).set('c');
    mks.session.x = 1;
    await mks.save();
    await called((done) => mks.del('a', done));
    assert.deepEqual(mks.keys, ['mks:b', 'mks:c']);
    assert.equal((await bench.find('a')) ?? null, null);
    await mks.del({ sessionID: 'b' });
    assert.equal((await bench.find('b')) ?? null, null);
    assert.deepEqual({ ...(await bench.find('c')).session }, { x: 1 });
    await mks.del('c');
    assert.equal(mks.keyCount, 0);
    await bench.assertEmpty();
  });

  test('del of a key that the session does not have removes nothing', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a');
    const other = new Session({ store: bench.first }).set('b');
    await Promise.all([mks.save(), other.save()]);
    await mks.del('b');
    assert.deepEqual([...(await bench.find('a')).keys], ['mks:a']);
    assert.equal((await bench.find('b')).uuid, other.uuid);
  });

  test('save(cb) and its promise: even an empty session; without a key it says what is missing', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a');
    await called((done) => mks.save(done));
    assert.deepEqual(await bench.stored('a'), {});
    mks.session.x = 1;
    assert.equal(await mks.save(), undefined);
    assert.deepEqual(await bench.stored('a'), { x: 1 });
    const keyless = new Session({ store: bench.first });
    keyless.session.x = 1;
    await assert.rejects(keyless.save(), { code: 'ERR_SESSION_ARGUMENT', message: /key/ });
  });

  test('destroy(cb) removes the session with all of its keys', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a').set('b');
    await mks.save();
    await called((done) => mks.destroy(done));
    await bench.assertEmpty();
    assert.equal((await bench.find('a')) ?? null, null);
    await assert.rejects(mks.save(), { code: 'ERR_SESSION_GONE' });
    await bench.assertEmpty('a save after that does not bring it back');
  });

  test('destroy of a session that was never saved', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a');
    await mks.destroy();
    await assert.rejects(mks.save(), { code: 'ERR_SESSION_GONE' });
    await bench.assertEmpty();
  });

  test('close(cb) saves what has changed', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a');
    mks.session.x = 1;
    await called((done) => mks.close(done));
    assert.deepEqual(await bench.stored('a'), { x: 1 });
    const empty = new Session({ store: bench.first }).set('b');
    await empty.close();
    assert.equal(await bench.stored('b'), undefined);
  });

  test('attachTo(object) gives it mks and session', ({ first: store }) => {
    const mks = new Session({ store }).set('a');
    const object = { mine: 1 };
    mks.attachTo(object);
    assert.equal(object.mks, mks);
    assert.equal(object.session, mks.session);
    object.session.x = 1;
    object.session = { y: 2 };
    assert.deepEqual({ ...mks.session }, { y: 2 });
    assert.equal(JSON.stringify(object), '{"mine":1}', 'it is not written with the object');
  });

  test('loadFromStorage({store, resolvers}, id, cb) gives the session, or nothing', async (bench) => {
    class Late {
      constructor(fields) {
        Object.assign(this, fields);
      }
    }
    const mks = new Session({ store: bench.first }).set('a');
    mks.session.x = 1;
    await mks.save();
    const from = { store: bench.first, resolvers: [Late] };
    const found = await called((done) => Session.loadFromStorage(from, 'a', done));
    assert.ok(found instanceof Session);
    assert.deepEqual([found.uuid, found.keys, { ...found.session }], [mks.uuid, ['mks:a'], { x: 1 }]);
    assert.ok(Session.resolvers.includes(Late));
    const none = await called((done) => Session.loadFromStorage({ store: bench.first }, 'b', done));
    assert.equal(none ?? null, null);
    assert.throws(() => Session.loadFromStorage({}, 'a'), { code: 'ERR_SESSION_ARGUMENT' });
    for (const wrong of [undefined, null, 42, '', {}]) {
      await assert.rejects(Session.loadFromStorage({ store: bench.first }, wrong), {
        code: 'ERR_SESSION_ARGUMENT',
        message: /key/
      });
      await assert.rejects(new Session({ store: bench.first }).set('a').del(wrong), {
        code: 'ERR_SESSION_ARGUMENT',
        message: /key/
      });
    }
  });

  test('a key that another session had leads to the one that took it', async (bench) => {
    const first = new Session({ store: bench.first }).set('own').set('shared');
    const second = new Session({ store: bench.first }).set('other').set('shared');
    await first.save();
    await second.save();
    assert.equal((await bench.find('shared')).uuid, second.uuid);
    assert.equal((await bench.find('own')).uuid, first.uuid);
    await first.destroy();
    assert.equal((await bench.find('shared'))?.uuid, second.uuid, 'the end of the first one does not take it along');
    await second.destroy();
    await bench.assertEmpty();
  });

  test('writing properties that are names of the data object stores them as data', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a');
    mks.session = { mks: 'text', save: 1, toString: 2, keys: [3] };
    await mks.save();
    const found = await bench.find('a');
    assert.equal(JSON.stringify(found.session), '{"mks":"text","save":1,"toString":2,"keys":[3]}');
  });
});
