'use strict';
// What `require('drachtio-session')` gives, and the options of session(options).

const assert = require('node:assert/strict');
const path = require('node:path');
const { EventEmitter } = require('node:events');
const { spawnSync } = require('node:child_process');
const { describe, it } = require('node:test');
const session = require('../..');
const host = require('../../examples/classic-host');
const { onEachStore, told, echo } = require('../support/contract/bench');

const root = path.join(__dirname, '..', '..');
const run = (code, env) =>
  spawnSync(process.execPath, ['-e', code], { cwd: root, encoding: 'utf8', env: { ...process.env, ...env } });

describe('exports', () => {
  it('module.exports is the function session(options), with its classes as properties', () => {
    assert.equal(typeof session, 'function');
    for (const name of ['Store', 'MemoryStore', 'RedisStore', 'Session', 'Event']) {
      assert.equal(typeof session[name], 'function', name);
      assert.equal(session[name].name, name);
    }
    assert.equal(typeof session.addClass, 'function');
    assert.equal(session({}).length, 3, 'a middleware takes req, res, next');
  });

  it('Store is a base class for stores: an EventEmitter with regenerate and load', () => {
    const store = new session.Store();
    assert.ok(store instanceof EventEmitter);
    assert.equal(typeof store.regenerate, 'function');
    assert.equal(typeof store.load, 'function');
    assert.ok(new session.MemoryStore() instanceof session.Store);
    assert.ok(session.RedisStore.prototype instanceof session.Store);
  });

  it("require('drachtio-session/redis')() gives RedisStore, whatever it is given", () => {
    assert.equal(require('drachtio-session/redis')(), session.RedisStore);
    assert.equal(require('drachtio-session/redis')(session), session.RedisStore);
  });

  it('ESM finds the default and every name', () => {
    const code = `
      import session, { Event, MemoryStore, RedisStore, Session, Store, addClass } from 'drachtio-session';
      const names = { Event, MemoryStore, RedisStore, Session, Store, addClass };
      for (const name in names) if (session[name] !== names[name]) throw new Error(name);
      console.log(typeof session);
    `;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      cwd: root,
      encoding: 'utf8'
    });
    assert.deepEqual([stdout, stderr], ['function\n', '']);
  });
});

describe('MemoryStore', () => {
  const two = "const s = require('.'); s({}); s({}); s({ store: new s.MemoryStore() })";

  it('warns once on the console when NODE_ENV is production', () => {
    const { stdout, stderr, status } = run(two, { NODE_ENV: 'production' });
    assert.equal(status, 0);
    assert.equal(stdout, '');
    assert.equal(stderr.match(/MemoryStore/g).length, 1, stderr);
  });

  it('says nothing elsewhere', () => {
    const { stdout, stderr } = run(two, { NODE_ENV: '' });
    assert.deepEqual([stdout, stderr], ['', '']);
  });

  it('is the default when no store is given', async () => {
    const app = host();
    app.use(session({ app }));
    app.invite((req, res) => {
      req.session.count = 1;
      assert.ok(req.sessionStore instanceof session.MemoryStore);
      res.send(200);
    });
    app.info(echo);
    const call = app.peer.invite();
    await call.final();
    assert.deepEqual(told(await call.request('INFO')), { count: 1 });
  });

  it('get, set, destroy, all, clear and length take node callbacks', async () => {
    const store = new session.MemoryStore();
    const call = (method, ...args) =>
      new Promise((resolve, reject) => {
        const given = store[method](...args, (err, value) => (err ? reject(err) : resolve(value)));
        assert.equal(given, undefined, `${method} gives no promise when it has a callback`);
      });
    assert.equal((await call('get', 'a')) ?? null, null);
    await call('set', 'a', { x: 1 });
    await call('set', 'b', { y: [2] });
    assert.deepEqual(await call('get', 'a'), { x: 1 });
    assert.equal(await call('length'), 2);
    assert.deepEqual((await call('all')).map((value) => JSON.stringify(value)).toSorted(), ['{"x":1}', '{"y":[2]}']);
    await call('destroy', 'a');
    assert.equal(await call('length'), 1);
    await call('clear');
    assert.equal(await call('length'), 0);
  });
});

const refused = (options, pattern) =>
  assert.throws(() => session(options), { name: 'SessionError', code: 'ERR_SESSION_OPTION', message: pattern });

describe('session(options)', () => {
  it('takes store, app and resolvers', () => {
    assert.doesNotThrow(() => session({ store: new session.MemoryStore(), app: host(), resolvers: [Date] }));
    assert.doesNotThrow(() => session());
  });

  it('names the option that it does not know', () => {
    refused({ stroe: new session.MemoryStore() }, /stroe/);
    refused({ store: new session.MemoryStore(), secret: 'x' }, /secret/);
  });

  it('refuses values that it can not use', () => {
    refused(null, /null/);
    refused('redis', /redis/);
    refused({ resolvers: Date }, /resolvers/);
    refused({ store: {} }, /get/);
    refused({ store: { get() {}, set() {} } }, /destroy/);
    for (const timeout of [0, -1, 1.5, '100', NaN, Infinity]) refused({ timeout }, /timeout/);
  });

  it('refuses a store that is not an object', () => {
    refused({ store: null }, /store/);
    refused({ store: 'redis://localhost' }, /store/);
  });
});

describe('addClass', () => {
  it('registers a class by its name', () => {
    class Registered {}
    session.addClass(Registered);
    assert.ok(session.Session.resolvers.includes(Registered));
  });

  it('has Date registered always', () => {
    assert.ok(session.Session.resolvers.includes(Date));
  });

  it('refuses what has no name to find it by', () => {
    for (const wrong of [undefined, null, 'Date', {}, () => 0, class {}]) {
      assert.throws(() => session.addClass(wrong), { code: 'ERR_SESSION_ARGUMENT' });
    }
  });
});

const regenerate = (store, holder) =>
  new Promise((resolve, reject) => {
    store.regenerate(holder, (err) => (err ? reject(err) : resolve()));
  });

onEachStore((test, kind) => {
  test('the middleware puts generate(req) on the store it is given', ({ first: store }) => {
    const req = { sessionID: 'holder-1' };
    assert.equal(typeof store.generate, 'function');
    store.generate(req);
    assert.ok(req.mks instanceof session.Session);
    assert.deepEqual(req.mks.keys, ['mks:holder-1']);
    assert.deepEqual({ ...req.session }, {});
  });

  if (!kind.ours) {
    test('two kinds of entry go through a JavaScript store', async (bench) => {
      const { app, first: store } = bench;
      const entries = new Map();
      const set = store.set.bind(store);
      store.set = function (sid, value, callback) {
        entries.set(sid, value);
        return callback ? set(sid, value, callback) : set(sid, value);
      };
      // what it takes, as session() sees it, stays the same
      Object.defineProperty(store.set, 'length', { value: Object.getPrototypeOf(store).set.length });
      app.invite((req, res) => {
        req.session.user = 'jack jones';
        res.send(200);
      });
      await app.peer.invite({ callId: 'a@example' }).final();
      const uuid = entries.get('mks:a@example');
      assert.match(uuid, /^mks:session:/);
      const { keys, session: data, ...rest } = entries.get(uuid);
      assert.deepEqual(Object.keys(keys), ['mks:a@example']);
      assert.deepEqual(data, { user: 'jack jones' });
      assert.deepEqual(rest, {});
      assert.equal(entries.size, 2);
      assert.equal(await bench.size(), 2);
    });
    return;
  }

  test('regenerate destroys what holder.sessionID names, then generates a session', async (bench) => {
    const { first: store } = bench;
    await store.set('again', { secret: 1 });
    const holder = { sessionID: 'again' };
    await regenerate(store, holder);
    await bench.assertEmpty('what was stored is gone');
    assert.deepEqual({ ...holder.session }, {});
    assert.deepEqual(holder.mks.keys, ['mks:again']);
  });

  test('regenerate of a request: the session it had is gone, a new one is saved in its place', async (bench) => {
    const { app, first: store } = bench;
    let uuids;
    app.invite(async (req, res) => {
      req.session.secret = 1;
      await req.session.save();
      const { uuid } = req.mks;
      await regenerate(store, req);
      uuids = [uuid, req.mks.uuid];
      req.session.fresh = true;
      res.send(200);
    });
    app.bye((req, res) => res.send(200));
    const call = app.peer.invite({ callId: 'anew' });
    await call.final();
    assert.notEqual(uuids[0], uuids[1]);
    const mks = await bench.find('anew');
    assert.deepEqual([mks?.uuid, { ...mks?.session }], [uuids[1], { fresh: true }]);
    await call.bye();
    await bench.assertEmpty();
  });

  test('load(sid, cb) finds the session by any of its keys', async ({ first: store }) => {
    const mks = new session.Session({ store });
    mks.set('one').set('two');
    mks.session.x = 1;
    await mks.save();
    for (const id of ['one', 'two']) {
      const found = await new Promise((resolve, reject) => {
        store.load(id, (err, value) => (err ? reject(err) : resolve(value)));
      });
      assert.equal(found.uuid, mks.uuid);
      assert.deepEqual({ ...found.session }, { x: 1 });
    }
    assert.equal((await store.load('three')) ?? null, null);
  });
});
