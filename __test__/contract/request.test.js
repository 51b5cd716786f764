'use strict';
// How a request gets `session` and `mks`: by way of its class if that is one of requests, and on its own otherwise. Other
// requests, and other classes, are as they would be without.

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const { describe, it } = require('node:test');
const session = require('../..');

const HEADERS = { from: '<sip:a@example>;tag=from', to: '<sip:b@example>' };

// A class of requests as a host has one; each test has its own.
function classOfRequests() {
  return class Request extends EventEmitter {
    constructor(callId) {
      super();
      this.method = 'INVITE';
      this.source = 'network';
      this.headers = { ...HEADERS, 'call-id': callId };
    }

    get(name) {
      return this.headers[name.toLowerCase()];
    }
  };
}

const response = () => ({ send: () => undefined });

// A store, and a function that passes a request through a middleware on it.
function host() {
  const store = new session.MemoryStore();
  const middleware = session({ store });
  const pass = (req) =>
    new Promise((resolve, reject) => {
      middleware(req, response(), (err) => (err ? reject(err) : resolve(req)));
    });
  return { store, pass };
}

function assertHas(req, callId) {
  assert.deepEqual(req.mks.keys, [`mks:${callId}`]);
  req.session.from = callId;
  assert.deepEqual({ ...req.mks.session }, { from: callId });
  req.session = { other: callId };
  assert.deepEqual({ ...req.mks.session }, { other: callId });
  assert.deepEqual(
    Object.keys(req).filter((name) => name === 'session' || name === 'mks'),
    []
  );
}

describe('req.session and req.mks', () => {
  it('are those of each request of a class', async () => {
    const Request = classOfRequests();
    const { pass } = host();
    const [one, two] = [await pass(new Request('one')), await pass(new Request('two'))];
    assertHas(one, 'one');
    assertHas(two, 'two');
    assert.deepEqual({ ...one.session }, { other: 'one' });
    assert.notEqual(one.mks, two.mks);
    assert.equal(Object.getPrototypeOf(one), Request.prototype);
  });

  it('are not there for a request of that class that has no session, which may have its own', async () => {
    const Request = classOfRequests();
    const { pass } = host();
    await pass(new Request('with'));
    const without = new Request('without');
    assert.equal(without.session, undefined);
    assert.equal(without.mks, undefined);
    [without.session, without.mks] = [{ mine: true }, 'mine'];
    const { session: data, mks } = Object.getOwnPropertyDescriptors(without);
    assert.deepEqual(data, { value: { mine: true }, writable: true, enumerable: true, configurable: true });
    assert.equal(mks.value, 'mine');
    await pass(without);
    assert.deepEqual(without.session, { mine: true });
    delete without.session;
    assert.equal(without.session, undefined);
    assert.deepEqual(Object.keys(Request.prototype), []);
  });

  it('come though the request has them as names of its own already, without a value', async () => {
    const { pass } = host();
    for (const name of ['session', 'mks']) {
      const Request = classOfRequests();
      await pass(new Request('first'));
      assertHas(await pass(Object.assign(new Request(name), { [name]: undefined })), name);
    }
  });

  it('are there for a subclass, an object without a class, one without a prototype', async () => {
    const { pass } = host();
    const Request = classOfRequests();
    await pass(new Request('base'));
    assertHas(await pass(new (class extends Request {})('sub')), 'sub');
    const plain = (target, callId) => {
      const { get } = Request.prototype;
      return Object.assign(target, {
        get,
        method: 'INVITE',
        source: 'network',
        headers: { ...HEADERS, 'call-id': callId }
      });
    };
    assertHas(await pass(plain({}, 'plain')), 'plain');
    assertHas(await pass(plain(Object.create(null), 'bare')), 'bare');
    assertHas(await pass(plain(new EventEmitter(), 'emitter')), 'emitter');
    for (const { prototype } of [Object, EventEmitter]) assert(!('session' in prototype) && !('mks' in prototype));
  });

  it('leave a class alone that is frozen, or has one of these names', async () => {
    const { pass } = host();
    const Frozen = classOfRequests();
    Object.freeze(Frozen.prototype);
    assertHas(await pass(new Frozen('frozen')), 'frozen');

    const Other = classOfRequests();
    const others = { get: () => undefined, configurable: true };
    Object.defineProperty(Other.prototype, 'session', others);
    assertHas(await pass(new Other('other')), 'other');
    assert.equal(Object.getOwnPropertyDescriptor(Other.prototype, 'session').get, others.get);
    assert(!('mks' in Other.prototype));
  });

  it('are others after regenerate()', async () => {
    const Request = classOfRequests();
    const { store, pass } = host();
    const req = await pass(new Request('again'));
    const { mks } = req;
    req.session.x = 1;
    await store.regenerate(req);
    assert.notEqual(req.mks, mks);
    assert.deepEqual({ ...req.session }, {});
    assertHas(req, 'again');
  });
});
