'use strict';
// Stores of applications, in the shape of connect's and express's: however they answer.

const assert = require('node:assert/strict');
const test = require('node:test');
const { EventEmitter } = require('node:events');
const session = require('../..');
const { message } = require('../support/message');
const { called, load, save, stored } = require('../support/sessions');
const { within } = require('../support/waiting');

const { Session, Store } = session;

const later = (fn, ...args) => setImmediate(fn, ...args);

const copy = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));

// A store over a Map; `answer(callback, ...args)` is how it calls back.
function byCallback(answer) {
  const entries = new Map();
  return {
    entries,
    calls: 0,
    get(sid, callback) {
      this.calls++;
      answer(callback, null, copy(entries.get(sid)));
    },
    set(sid, value, callback) {
      entries.set(sid, copy(value));
      answer(callback, null);
    },
    destroy(sid, callback) {
      entries.delete(sid);
      answer(callback, null);
    }
  };
}

function byPromise() {
  const { entries } = byCallback();
  return {
    entries,
    get: (sid) => Promise.resolve(entries.get(sid)),
    set: (sid, value) => Promise.resolve(void entries.set(sid, value)),
    destroy: (sid) => Promise.resolve(void entries.delete(sid))
  };
}

function both() {
  const store = byCallback(later);
  for (const method of ['get', 'set', 'destroy']) {
    const ask = store[method];
    // as connect-redis: the promise says that it has begun, the callback has the answer
    store[method] = {
      get: (sid, callback) => Promise.resolve(ask.call(store, sid, callback)),
      set: (sid, value, callback) => Promise.resolve(ask.call(store, sid, value, callback)),
      destroy: (sid, callback) => Promise.resolve(ask.call(store, sid, callback))
    }[method];
  }
  return store;
}

const KINDS = {
  'sync callbacks': () => byCallback((callback, ...args) => callback(...args)),
  'async callbacks': () => byCallback((callback, ...args) => later(callback, ...args)),
  promises: byPromise,
  'async functions with callbacks': both,
  'calls back twice': () =>
    byCallback((callback, ...args) => {
      callback(...args);
      callback(...args);
      later(callback, ...args);
      later(callback, new Error('again'));
    }),
  'undefined for no error': () => byCallback((callback, err, value) => later(callback, undefined, value))
};

for (const [kind, make] of Object.entries(KINDS)) {
  test(`a store that answers by ${kind}`, async () => {
    const store = make();
    const mks = await save(store, 'a', { at: new Date(5), list: [1] });
    assert.deepEqual(Object.fromEntries(store.entries), {
      'mks:a': mks.uuid,
      [mks.uuid]: {
        keys: { 'mks:a': null },
        session: { at: { '@class': 'Date', value: new Date(5).toJSON() }, list: [1] }
      }
    });
    mks.set('b', { leg: 2 });
    mks.session.more = true;
    await mks.save();
    const found = await load(store, 'b');
    assert.equal(found.uuid, mks.uuid);
    assert.deepEqual({ ...found.session }, { at: new Date(5), list: [1], more: true });
    assert.deepEqual(found.get('b'), { leg: 2 });
    assert.equal(await load(store, 'none'), null);
    await found.del('a');
    assert.equal(await load(store, 'a'), null);
    assert.deepEqual(await stored(store, 'b'), { at: new Date(5), list: [1], more: true });
    await found.del('b');
    assert.equal(store.entries.size, 0);
    mks.session.late = 1;
    await assert.rejects(mks.save(), { code: 'ERR_SESSION_GONE' });
    assert.equal(store.entries.size, 0);
  });
}

test('a store without get, set or destroy is an error that names it', () => {
  for (const missing of ['get', 'set', 'destroy']) {
    const store = byPromise();
    delete store[missing];
    assert.throws(() => session({ store }), { code: 'ERR_SESSION_OPTION', message: new RegExp(`${missing}\\(\\)`) });
    assert.throws(() => new Session({ store }), { code: 'ERR_SESSION_OPTION' });
  }
  class Mine extends Store {}
  assert.throws(() => session({ store: new Mine() }), { code: 'ERR_SESSION_OPTION' });
});

test('what a store throws, rejects or calls back with is the error of that operation', async () => {
  const failing = {
    throws: () => {
      throw new Error('it broke');
    },
    rejects: () => Promise.reject(new Error('it broke')),
    'calls back': (...args) => later(args.at(-1), new Error('it broke')),
    'calls back with a text': (...args) => later(args.at(-1), 'it broke')
  };
  for (const [how, fail] of Object.entries(failing)) {
    for (const method of ['get', 'set', 'destroy']) {
      const store = byCallback(later);
      const mks = await save(store, 'a', { n: 1 });
      const { length } = store[method];
      const ask = store[method];
      // a store that takes callbacks shows it by how many arguments its methods have
      store[method] =
        length === 2 ? (sid, callback) => fail(sid, callback) : (sid, value, callback) => fail(sid, value, callback);
      const work = {
        get: () => load(store, 'a'),
        set: () => ((mks.session.n = 2), mks.save()),
        destroy: () => mks.destroy()
      };
      await assert.rejects(work[method](), { code: 'ERR_SESSION_STORE', message: /it broke/ }, `${method} ${how}`);
      store[method] = ask;
      assert.ok(await load(store, 'a'), 'it works again');
    }
  }
});

test('a rejection without a reason is an error as well', async () => {
  const store = byPromise();
  store.set = () => Promise.reject();
  await assert.rejects(save(store, 'a', { n: 1 }), { code: 'ERR_SESSION_STORE' });
});

test('ENOENT is no entry for get and destroy, but an error for set', async () => {
  const missing = Object.assign(new Error('no such file'), { code: 'ENOENT' });
  const store = byPromise();
  store.get = () => Promise.reject(missing);
  assert.equal(await load(store, 'a'), null);
  store.set = () => Promise.reject(missing);
  await assert.rejects(save(store, 'a', { n: 1 }), { code: 'ERR_SESSION_STORE', message: /no such file/ });
});

test('a store that never calls back: every operation ends at the deadline, once', async () => {
  const store = { get(_sid, _callback) {}, set(_sid, _value, _callback) {}, destroy(_sid, _callback) {} };
  const use = session({ store, timeout: 100 });
  const timeout = { code: 'ERR_SESSION_TIMEOUT' };
  await within(assert.rejects(load(store, 'a'), timeout), 'the load');
  await within(assert.rejects(save(store, 'a', { n: 1 }), timeout), 'the save');
  const { req, res, left } = message('INVITE', 'call');
  use(req, res, () => {
    req.session.n = 1;
    res.send(200, { body: 'sdp' });
  });
  assert.deepEqual(await within(left, 'the final response'), [200, { body: 'sdp' }]);
});

test('a late answer is ignored, and does not disturb what came after', async () => {
  const store = byCallback(later);
  session({ store, timeout: 100 });
  await save(store, 'a', { n: 1 });
  const { get } = store;
  let held;
  store.get = (sid, callback) => (held = callback);
  await within(assert.rejects(load(store, 'a'), { code: 'ERR_SESSION_TIMEOUT' }), 'the load');
  store.get = get;
  held(null, 'mks:session:none');
  assert.deepEqual(await stored(store, 'a'), { n: 1 });
});

test('5,000 operations on one session of a synchronous store: no deep stack, in their order', async (t) => {
  const store = KINDS['sync callbacks']();
  let deepest = 0;
  const { set } = store;
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 200;
  t.after(() => (Error.stackTraceLimit = limit));
  store.set = function (sid, value, callback) {
    deepest = Math.max(deepest, new Error('here').stack.split('\n').length);
    set.call(this, sid, value, callback);
  };
  const mks = await save(store, 'a', { n: 0 });
  const order = [];
  await within(
    new Promise((resolve, reject) => {
      for (let i = 1; i <= 5000; i++) {
        const over = (err) => {
          if (err) return reject(err);
          order.push(i);
          return i === 5000 && resolve();
        };
        mks.session.n = i;
        // loads in between: saves that wait would become one
        if (i % 2) Session.loadFromStorage({ store }, 'a', over);
        else mks.save(over);
      }
    }),
    '5,000 operations'
  );
  assert.deepEqual(order, Array.from({ length: 5000 }, (_, i) => i + 1)); // prettier-ignore
  assert.equal((await stored(store, 'a')).n, 5000);
  assert.ok(deepest < 150, `the stack was ${deepest} deep`);
});

test('operations begun from callbacks of a synchronous store do not nest', async () => {
  const store = KINDS['sync callbacks']();
  const mks = await save(store, 'a', { n: 0 });
  await within(
    new Promise((resolve, reject) => {
      const next = (err) => {
        if (err) return reject(err);
        if (mks.session.n === 5000) return resolve();
        mks.session.n++;
        mks.write(1, next);
      };
      next();
    }),
    '5,000 saves, each begun by the one before'
  );
  assert.equal((await stored(store, 'a')).n, 5000);
});

test('callbacks of one session come in the order of the calls', async () => {
  const store = byCallback(later);
  const mks = await save(store, 'a', { n: 0 });
  const order = [];
  const all = [];
  for (let i = 0; i < 300; i++) {
    mks.session.n = i;
    const work = i % 7 === 6 ? load(store, 'a') : mks.save();
    all.push(work.then(() => order.push(i)));
  }
  await Promise.all(all);
  assert.deepEqual(order, Array.from({ length: 300 }, (_, i) => i)); // prettier-ignore
});

test('the response to a BYE waits for the callback of the removal', async () => {
  const store = byCallback((callback, ...args) => setTimeout(callback, 20, ...args));
  const middleware = session({ store });
  const answered = async (method, toTag) => {
    const { req, res, left } = message(method, 'call', toTag);
    middleware(req, res, () => res.send(200));
    await within(left, `the answer to ${method}`);
    return store.entries.size;
  };
  assert.equal(await answered('INVITE'), 2);
  assert.equal(await answered('BYE', true), 0);
});

test('while a store says that it is disconnected, requests go on with what is known here; afterwards it is asked again', async () => {
  const store = Object.assign(new EventEmitter(), byCallback(later));
  const use = session({ store });
  await save(store, 'call', { n: 1 });
  await save(store, 'other', { n: 2 });
  const handled = async (method, id = 'call') => {
    const { req, res, left } = message(method, id, true);
    const reached = new Promise((resolve) => {
      use(req, res, resolve);
    });
    await within(reached, 'the handler');
    const data = { ...req.session, degraded: req.mks.degraded };
    res.send(200);
    await within(left, 'the response');
    return data;
  };
  assert.deepEqual(await handled('INFO'), { n: 1, degraded: false });
  store.emit('disconnect');
  const before = store.calls;
  assert.deepEqual(await handled('INFO'), { n: 1, degraded: true });
  assert.deepEqual(await handled('INFO', 'other'), { degraded: true });
  assert.equal(store.calls, before, 'it is not asked');
  store.emit('connect');
  assert.deepEqual(await handled('INFO'), { n: 1, degraded: false });
  assert.deepEqual(await handled('INFO', 'other'), { n: 2, degraded: false });
});

test('entries of others in the store are errors that name them', async () => {
  const store = byPromise();
  store.entries.set('mks:a', { cookie: {} });
  store.entries.set('mks:b', 'mks:session:b').set('mks:session:b', { cookie: {} });
  store.entries.set('mks:c', 'mks:session:c').set('mks:session:c', 'text');
  store.entries.set('mks:d', 'mks:session:none');
  for (const [id, name] of Object.entries({ a: 'mks:a', b: 'mks:session:b', c: 'mks:session:c' })) {
    const [err] = await called(Session, 'loadFromStorage', { store }, id);
    assert.equal(err.code, 'ERR_SESSION_CORRUPT', id);
    assert.ok(err.message.includes(name), err.message);
  }
  assert.equal(await load(store, 'd'), null);
});
