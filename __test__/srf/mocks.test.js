'use strict';
// drachtio-srf in unit tests of applications: methods of an instance that are stubbed before or after session({app: srf}),
// and Dialogs and requests that are plain emitters. The application gets exactly what the stub gives.

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const { describe, it } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../..');
const { releases } = require('../support/srf/bench');
const { within } = require('../support/waiting');

const URI = 'sip:bob@b.example';
const BYE = { method: 'BYE', stackDialogId: 'c;from-tag=1' };

// Per method, how an application calls it without a callback; a callback comes after these arguments.
const calls = {
  createUAC: (of) => [URI, { session: of.session }],
  'createUAC, uri in the options': (of) => [{ uri: URI, session: of.session }],
  'createUAC, progress callbacks': (of) => [URI, { session: of.session }, { cbRequest() {}, cbProvisional() {} }],
  createUAS: (of) => [of.req, of.res, { session: of.session }],
  createB2BUA: (of) => [of.req, of.res, URI, { session: of.session }],
  'createB2BUA, uri in the options': (of) => [of.req, of.res, { uri: URI, session: of.session }],
  request: (of) => [URI, { method: 'INVITE', session: of.session }],
  'request, BYE by dialog id': () => [URI, { ...BYE }],
  'request, BYE in the options': () => [{ uri: URI, ...BYE }]
};

// where drachtio-srf takes a callback if there are no progress callbacks: by position, after cbRequest and cbProvisional
const withCallback = (args, name, callback) => {
  if (!name.startsWith('create') || name.startsWith('createUAS')) return [...args, callback];
  return typeof args.at(-1).cbRequest === 'function' ? [...args, callback] : [...args, {}, callback];
};

// Installs a stub before or after the middleware -> {srf, of}
const orders = {
  'stubbed before': (Srf, method, stub) => {
    const srf = new Srf();
    srf[method] = stub;
    srf.use(session({ app: srf }));
    return srf;
  },
  'stubbed after': (Srf, method, stub) => {
    const srf = new Srf();
    srf.use(session({ app: srf }));
    srf[method] = stub;
    return srf;
  },
  'stubbed by node:test before': (Srf, method, stub, t) => {
    const srf = new Srf();
    t.mock.method(srf, method, stub);
    srf.use(session({ app: srf }));
    return srf;
  },
  'stubbed in a subclass': (Srf, method, stub) => {
    class Application extends Srf {}
    Application.prototype[method] = stub;
    const srf = new Application();
    srf.use(session({ app: srf }));
    return srf;
  },
  'stubbed in the class': (Srf, method, stub, t) => {
    t.mock.method(Srf.prototype, method, stub);
    const srf = new Srf();
    srf.use(session({ app: srf }));
    return srf;
  }
};

const named = (value) => (value instanceof EventEmitter ? 'an emitter' : JSON.stringify(value));

const subject = () => {
  const mks = new session.Session({ store: new session.MemoryStore() }).set('a');
  return { mks, session: mks.session, req: new EventEmitter(), res: new EventEmitter() };
};

const rejection = async (promise) => {
  try {
    await promise;
  } catch (err) {
    return { err };
  }
  return undefined;
};

// An application with a store of its own; `use` installs the middleware.
function application(Srf) {
  const srf = new Srf();
  const store = new session.MemoryStore();
  const errors = [];
  store.on('error', (err) => errors.push(err));
  return { srf, store, errors, use: () => srf.use(session({ app: srf, store })) };
}

// A request that has these properties and headers, and its response.
function received(fields, more) {
  const headers = { from: '<sip:a@x>;tag=1', to: '<sip:b@x>', cseq: '1 INVITE', ...more };
  const req = Object.assign(new EventEmitter(), { get: (name) => headers[name.toLowerCase()], ...fields });
  Object.assign(req, { source: 'network', stackDialogId: '' });
  return [req, Object.assign(new EventEmitter(), { req, send() {} })];
}

for (const { name: release, Srf } of releases) {
  for (const [order, install] of Object.entries(orders)) {
    describe(`${release}, ${order}`, () => {
      for (const [name, argsOf] of Object.entries(calls)) {
        const [method] = name.split(',');
        const test = (what, body) => it(`${name}: ${what}`, (t) => within(body(t), 'the test to end'));

        test('a promise that is resolved', async (t) => {
          const result = new EventEmitter();
          const srf = install(Srf, method, () => Promise.resolve(result), t);
          assert.equal(await srf[method](...argsOf(subject())), result);
        });

        test('a promise that is resolved later, with undefined', async (t) => {
          const srf = install(Srf, method, () => sleep(5), t);
          assert.equal(await srf[method](...argsOf(subject())), undefined);
        });

        for (const reason of [Object.assign(new Error('busy'), { status: 486 }), 'text', undefined]) {
          test(`a promise that is rejected with ${reason}`, async (t) => {
            const srf = install(Srf, method, () => Promise.reject(reason), t);
            assert.deepEqual(await rejection(srf[method](...argsOf(subject()))), { err: reason });
          });
        }

        test('a stub that throws', (t) => {
          const thrown = new Error('out of order');
          const stub = () => {
            throw thrown;
          };
          const srf = install(Srf, method, stub, t);
          assert.throws(
            () => srf[method](...argsOf(subject())),
            (err) => err === thrown
          );
          return Promise.resolve();
        });

        test('a stub that returns undefined, or any other value', (t) => {
          for (const value of [undefined, null, 0, {}]) {
            const srf = install(Srf, method, () => value, t);
            assert.equal(srf[method](...argsOf(subject())), value);
            const ignored = () => assert.fail('the stub has called nothing');
            assert.equal(srf[method](...withCallback(argsOf(subject()), name, ignored)), value);
            t.mock.restoreAll();
          }
        });

        test('a stub that calls back, at once or later', async (t) => {
          const results = [
            [null, new EventEmitter()],
            [new Error('busy'), undefined]
          ];
          for (const later of [false, true]) {
            for (const result of results) {
              const stub = (...args) => {
                const callback = args.findLast((arg) => typeof arg === 'function');
                if (later) setImmediate(callback, ...result);
                else callback(...result);
                return 'returned';
              };
              const srf = install(Srf, method, stub, t);
              const got = [];
              const given = srf[method](...withCallback(argsOf(subject()), name, (...all) => got.push(all)));
              await sleep(5);
              assert.equal(given, 'returned');
              assert.deepEqual(got, [result]);
              t.mock.restoreAll();
            }
          }
        });

        test('a stub that calls back and returns a promise', async (t) => {
          const result = new EventEmitter();
          const stub = (...args) => {
            args.findLast((arg) => typeof arg === 'function')(null, result);
            return Promise.resolve(result);
          };
          const srf = install(Srf, method, stub, t);
          const got = [];
          assert.equal(await srf[method](...withCallback(argsOf(subject()), name, (...all) => got.push(all))), result);
          assert.deepEqual(got, [[null, result]]);
        });
      }
    });
  }

  describe(`${release}, mocks`, () => {
    it('a stub that only calls back gives a promise too', async () => {
      const { srf, use } = application(Srf);
      const dialog = new EventEmitter();
      srf.createUAC = (_uri, _options, _progress, callback) => callback(null, dialog);
      use();
      assert.equal(await srf.createUAC(URI, {}), dialog);
    });

    it('a wrapper of the real method keeps its promise', async () => {
      const { srf, use } = application(Srf);
      const original = srf.createUAC;
      const seen = [];
      srf.createUAC = async function (...args) {
        try {
          return await original.apply(this, args);
        } catch (err) {
          seen.push(err);
          throw err;
        }
      };
      use();
      // not connected: the request fails
      const { err } = await rejection(srf.createUAC(URI, { localSdp: 'v=0' }));
      assert.deepEqual(seen, [err]);
    });

    it('a rejection that the application does not handle stays unhandled, once', async (t) => {
      const { srf, use } = application(Srf);
      const unhandled = [];
      const listeners = process.listeners('unhandledRejection');
      process.removeAllListeners('unhandledRejection');
      const seen = (err) => unhandled.push(err);
      process.on('unhandledRejection', seen);
      t.after(() => {
        process.off('unhandledRejection', seen);
        listeners.forEach((listener) => process.on('unhandledRejection', listener));
      });
      const err = new Error('nobody listens');
      srf.createUAC = () => Promise.reject(err);
      use();
      void srf.createUAC(URI, {});
      await sleep(5);
      assert.deepEqual(unhandled, [err]);
    });

    for (const sent of [new EventEmitter(), {}, undefined, null]) {
      for (const result of [new EventEmitter(), {}, undefined, null, { sdp: '', ack() {} }]) {
        it(`${named(sent)} as a request, ${named(result)} as a Dialog`, async () => {
          const { srf, store, errors, use } = application(Srf);
          srf.createUAC = (_uri, _options, { cbRequest }) => {
            cbRequest(null, sent);
            return Promise.resolve(result);
          };
          srf.request = () => Promise.resolve(sent);
          srf.createUAS = srf.createB2BUA = () => Promise.resolve(result);
          use();
          const mks = new session.Session({ store }).set('a');
          assert.equal(await srf.createUAC(URI, { session: mks }), result);
          for (const method of ['INVITE', 'INFO', 'SUBSCRIBE']) {
            assert.equal(await srf.request(URI, { method, session: mks }), sent);
          }
          assert.equal(await srf.request(URI, BYE), sent);
          for (const req of [undefined, null, {}]) {
            assert.equal(await srf.createUAS(req, req, { session: mks }), result);
            assert.equal(await srf.createB2BUA(req, req, URI, { session: mks }), result);
            assert.equal(await srf.createB2BUA(req, req), result);
          }
          sent?.emit?.('response', { status: 200 });
          await sleep(5);
          assert.equal(mks.keyCount, 1, 'no leg, no key');
          assert.deepEqual(errors, []);
          assert.equal(await store.length(), 0);
        });
      }
    }

    it('the real createB2BUA with stubs of createUAC and createUAS', async () => {
      const { srf, errors, use } = application(Srf);
      const uac = Object.assign(new EventEmitter(), { local: {}, remote: {}, sip: {} });
      const uas = Object.assign(new EventEmitter(), { local: {}, remote: {}, sip: {} });
      srf.createUAC = () => Promise.resolve(uac);
      srf.createUAS = () => Promise.resolve(uas);
      use();
      const [req, res] = received({ method: 'INVITE', body: 'v=0', headers: {} }, { 'call-id': 'c' });
      const given = await srf.createB2BUA(req, res, URI, { localSdpB: 'v=0', localSdpA: 'v=0' });
      assert.equal(given.uas, uas);
      assert.equal(given.uac, uac);
      assert.deepEqual(errors, []);
    });

    it('a request without a Call-ID is reported once, by the middleware of the application', () => {
      const { srf, use } = application(Srf);
      use();
      const failures = [];
      srf.use((_req, _res, _next) => assert.fail('reached a handler'));
      srf.app.handle(...received({ method: 'INVITE' }), (err) => failures.push(err));
      assert.deepEqual(
        failures.map(({ code }) => code),
        ['ERR_SESSION_ARGUMENT']
      );
      assert.match(failures[0].message, /^the INVITE has no Call-ID: /);
    });

    it('a request without a method is reported', () => {
      const { srf, store } = application(Srf);
      const [req, res] = received({ srf }, { 'call-id': 'c' });
      const failures = [];
      session({ app: srf, store })(req, res, (err) => failures.push(err));
      assert.deepEqual(
        failures.map(({ code }) => code),
        ['ERR_SESSION_ARGUMENT']
      );
      assert.match(failures[0].message, /^the request has no `method`: /);
      assert.equal(req.session, undefined);
    });
  });
}
