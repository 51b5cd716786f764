'use strict';
// What the middleware reads from a host, classic drachtio's or drachtio-srf's, and what it gives.

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const session = require('../..');
const { onEachStore, echo, told } = require('../support/contract/bench');

const FROM = '<sip:a@example>;tag=from';
const NEW = '<sip:b@example>';
const INSIDE = '<sip:b@example>;tag=to';

// A request as a host would give it; `fields` are what that host has beyond method, source and headers.
function request(method, headers, fields = {}) {
  const req = Object.assign(new EventEmitter(), { method, source: 'network' });
  req.get = (name) => headers[name.toLowerCase()];
  for (const [name, field] of Object.entries(Object.getOwnPropertyDescriptors(fields))) {
    Object.defineProperty(req, name, field);
  }
  return req;
}

const classic = (method, callId, to, more) => {
  const isNew = !to.includes('tag=');
  const isNewInvite = () => method === 'INVITE' && isNew;
  const own = { id: callId, canceled: false, isNewInvite };
  const req = request(method, { 'call-id': callId, from: FROM, to, ...more }, own);
  Object.defineProperty(req, 'canFormDialog', { get: () => isNew && (method === 'INVITE' || method === 'SUBSCRIBE') });
  return req;
};

// canFormDialog is true for re-INVITEs too: it reads `.tag` of a string
const srf = (method, callId, to, more) =>
  request(
    method,
    { 'call-id': callId, from: FROM, to, ...more },
    {
      get isNewInvite() {
        return method === 'INVITE' && !to.includes('tag=');
      },
      get canFormDialog() {
        return method === 'INVITE' || method === 'SUBSCRIBE';
      }
    }
  );

function response() {
  const res = { sent: [] };
  res.send = (...args) => {
    res.sent.push(args);
    res.onsent?.();
  };
  res.left = new Promise((resolve) => {
    res.onsent = resolve;
  });
  return res;
}

const reached = (middleware, req, res) =>
  new Promise((resolve, reject) => {
    middleware(req, res, (err) => (err ? reject(err) : resolve(req)));
  });

// A message through the middleware, answered with `status` after `act`.
async function through(middleware, req, status, act = () => undefined) {
  const res = response();
  await reached(middleware, req, res);
  act(req);
  res.send(status);
  await res.left;
  return req;
}

// -> [error, whether the callback came in the same turn, what save gave]
const save = (data) =>
  new Promise((resolve) => {
    let turn = true;
    const given = data.save((err) => resolve([err, turn, given]));
    turn = false;
  });

onEachStore((test, kind) => {
  for (const [name, make] of Object.entries({ classic, srf })) {
    test(`${name}: a call, from its INVITE to its BYE`, async (bench) => {
      const middleware = session({ store: bench.first });
      await through(middleware, make('INVITE', 'c1', NEW), 200, (req) => (req.session.user = 'jack jones'));
      const reinvite = await through(middleware, make('INVITE', 'c1', INSIDE), 200);
      assert.deepEqual({ ...reinvite.session }, { user: 'jack jones' }, 'a re-INVITE finds the session: by its To tag');
      const bye = await through(middleware, make('BYE', 'c1', INSIDE), 200);
      assert.equal(bye.session.user, 'jack jones');
      await bench.assertEmpty();
    });

    test(`${name}: a request without a Call-ID is an error that says so, and gets no session`, async (bench) => {
      const middleware = session({ store: bench.first });
      for (const method of ['OPTIONS', 'INVITE', 'BYE', 'ACK']) {
        const req = make(method, undefined, NEW);
        await assert.rejects(reached(middleware, req, response()), {
          name: 'SessionError',
          code: 'ERR_SESSION_ARGUMENT',
          message: `the ${method} has no Call-ID: req.get('call-id'), req.id or req.sessionID must give it`
        });
        assert.equal(req.session, undefined);
      }
    });

    test(`${name}: a request without a method is an error that says so`, async (bench) => {
      const middleware = session({ store: bench.first });
      for (const method of [undefined, null, '', 200]) {
        const req = make(method, 'nameless', NEW);
        await assert.rejects(reached(middleware, req, response()), {
          name: 'SessionError',
          code: 'ERR_SESSION_ARGUMENT',
          message: "the request has no `method`: set it to a SIP method, such as 'INVITE'"
        });
        assert.equal(req.session, undefined);
      }
    });
  }

  test('the key is req.sessionID, req.id, or the Call-ID, in this order', async (bench) => {
    const middleware = session({ store: bench.first });
    const of = async (fields) => {
      const req = request('INVITE', { 'call-id': 'from-get', from: FROM, to: NEW }, fields);
      return (await reached(middleware, req, response())).mks.keys;
    };
    assert.deepEqual(await of({ sessionID: 'own', id: 'id' }), ['mks:own']);
    assert.deepEqual(await of({ id: 'id' }), ['mks:id']);
    assert.deepEqual(await of({}), ['mks:from-get']);
  });

  test('the To tag tells a dialog, not the letters "tag" in a name or URI', async (bench) => {
    const middleware = session({ store: bench.first });
    let calls = 0;
    const isNew = async (to) => {
      const callId = `tag-${++calls}`;
      const data = { user: 'old' };
      await through(middleware, srf('INVITE', callId, NEW), 200, (req) => Object.assign(req.session, data));
      const req = await reached(middleware, srf('INVITE', callId, to), response());
      return req.session.user === undefined;
    };
    const assertNew = async (to, expected) => assert.equal(await isNew(to), expected, to);
    await assertNew('"a;tag=b" <sip:b@example>', true);
    await assertNew('<sip:b@example;tag=1>', true);
    await assertNew('<sip:vintage@example>;epid=tag', true);
    await assertNew('<sip:b@example>;epid=1;tag=1', false);
    await assertNew('<sip:b@example> ; TAG = 1', false);
    await assertNew('sip:b@example;tag=1', false);
  });

  test('an INVITE or SUBSCRIBE without a To header is not in a dialog', async (bench) => {
    const middleware = session({ store: bench.first });
    const throwing = {
      get isNewInvite() {
        throw new TypeError("Cannot read properties of undefined (reading 'params')");
      }
    };
    for (const method of ['INVITE', 'SUBSCRIBE']) {
      for (const fields of [{}, throwing]) {
        const callId = `${method}-${Object.keys(fields).length}`;
        await through(middleware, srf(method, callId, NEW), 200, (req) => (req.session.user = 'old'));
        const req = request(method, { 'call-id': callId }, fields);
        await reached(middleware, req, response());
        assert.equal(req.session.user, undefined, callId);
      }
    }
  });

  test('a request that has a session is passed on, whatever it lacks', async (bench) => {
    const middleware = session({ store: bench.first });
    const own = { user: 'jack jones' };
    const req = await reached(middleware, request(undefined, {}, { session: own }), response());
    assert.equal(req.session, own);
  });

  test('without a readable To, isNewInvite tells: a method or a getter', async (bench) => {
    const middleware = session({ store: bench.first });
    for (const fresh of [true, false]) {
      for (const isNewInvite of [fresh, () => fresh]) {
        const callId = `new-${fresh}-${typeof isNewInvite}`;
        await through(middleware, srf('INVITE', callId, NEW), 200, (req) => (req.session.user = 'old'));
        const req = request('INVITE', { 'call-id': callId }, { isNewInvite });
        await reached(middleware, req, response());
        assert.equal(req.session.user, fresh ? undefined : 'old', callId);
      }
    }
  });

  test('classic: req.canceled, seen when the final response is sent', async (bench) => {
    const middleware = session({ store: bench.first });
    await through(middleware, classic('INVITE', 'gone', NEW), 200, (req) => {
      req.session.user = 'jack jones';
      req.canceled = true;
    });
    await bench.assertEmpty();
  });

  test("srf: the event 'cancel' of the INVITE ends what it began", async (bench) => {
    const middleware = session({ store: bench.first });
    const req = await reached(middleware, srf('INVITE', 'canceled', NEW), response());
    req.session.user = 'jack jones';
    await req.session.save();
    assert.notEqual(await bench.size(), 0, 'the handler has saved it');
    // nothing answers a canceled INVITE in drachtio-srf: there is only the removal to wait for
    req.emit('cancel', {});
    await bench.becomesEmpty('the canceled INVITE leaves nothing');
  });

  test('srf: an INVITE that is canceled while its session is loaded does not reach the handlers', async (bench) => {
    if (kind.name === 'MemoryStore' || kind.cached) return; // loads at once
    const middleware = session({ store: bench.first });
    const challenge = srf('INVITE', 'early', NEW);
    await through(middleware, challenge, 407, (req) => (req.session.nonce = 'n'));
    const req = srf('INVITE', 'early', NEW, { 'proxy-authorization': 'Digest' });
    let passedOn = false;
    middleware(req, response(), () => (passedOn = true));
    req.emit('cancel', {});
    await bench.becomesEmpty('the session of the canceled INVITE is removed');
    assert.equal(passedOn, false);
  });

  test('res.send: a code, a reason, options, and callbacks at any place after the code', async (bench) => {
    const middleware = session({ store: bench.first });
    const [cb, ack] = [() => 1, () => 2];
    const calls = [
      [200],
      [200, 'Fine'],
      [200, { body: 'v=0' }],
      [200, 'Fine', { body: 'v=0' }],
      [200, cb],
      [200, { body: 'v=0' }, cb],
      [200, 'Fine', { body: 'v=0' }, cb],
      [200, 'Fine', { body: 'v=0' }, cb, ack],
      [180, cb],
      [183, 'Progress', { body: 'v=0' }, cb, ack]
    ];
    for (const [index, args] of calls.entries()) {
      const res = response();
      const req = await reached(middleware, srf('INVITE', `args-${index}`, NEW), res);
      req.session.x = 1;
      res.send(...args);
      await res.left;
      assert.deepEqual(res.sent, [args]);
      assert.ok(
        args.every((arg, i) => res.sent[0][i] === arg),
        'the very same arguments'
      );
    }
  });

  test('what res.send gives back reaches the handler when the response leaves at once', async (bench) => {
    const middleware = session({ store: bench.first });
    const res = { send: (code) => `sent ${code}` };
    await reached(middleware, srf('INVITE', 'returned', NEW), res);
    assert.equal(res.send(180), 'sent 180');
    assert.equal(res.send(486), 'sent 486');
  });

  test('res.send of a prototype is wrapped for this response only, and called on it', async (bench) => {
    const middleware = session({ store: bench.first });
    class Response {
      send(code) {
        this.code = code;
        this.onsent();
      }
    }
    const { send } = Response.prototype;
    const res = new Response();
    const left = new Promise((resolve) => {
      res.onsent = resolve;
    });
    await reached(middleware, srf('INVITE', 'proto', NEW), res);
    res.send(200);
    await left;
    assert.equal(res.code, 200);
    assert.equal(Response.prototype.send, send);
  });

  test('it gives req.session, mks, sessionStore, sessionID and resolvers', async ({ app, first: store }) => {
    let req;
    app.invite((given, res) => {
      req = given;
      res.send(200);
    });
    await app.peer.invite({ callId: 'given' }).final();
    assert.ok(req.session instanceof session.Session.SessionProto);
    assert.ok(req.mks instanceof session.Session);
    assert.equal(req.session.mks, req.mks);
    assert.equal(req.sessionStore, store);
    assert.equal(req.sessionID, 'given');
    assert.ok(Array.isArray(req.resolvers) && req.resolvers.includes(Date));
  });

  test('a request has mks and session beside what its host gave it, and no other request of its class has', async (bench) => {
    class Request extends EventEmitter {}
    const req = Object.assign(new Request(), { method: 'INVITE', source: 'network', id: 'beside' });
    await reached(session({ store: bench.first }), req, response());
    const seen = [];
    for (const name in req) seen.push(name);
    assert.deepEqual([seen.includes('mks'), seen.includes('session')], [false, false]);
    assert.ok(req instanceof Request && req.constructor === Request);
    assert.deepEqual(
      [new Request().mks, new Request().session, 'session' in new Request()],
      [undefined, undefined, false]
    );
    const other = new session.Session({ store: bench.first });
    req.mks = other;
    assert.equal(req.session, other.session);
    assert.ok(!Object.keys(req).includes('mks'));
  });

  test('req.session: mks and save are not enumerable, and not data', async (bench) => {
    let data;
    bench.app.invite((req, res) => {
      req.session.x = 1;
      ({ session: data } = req);
      res.send(200);
    });
    await bench.app.peer.invite({ callId: 'data' }).final();
    assert.deepEqual(Object.keys(data), ['x']);
    assert.equal(JSON.stringify(data), '{"x":1}');
    const seen = [];
    for (const name in data) seen.push(name);
    assert.deepEqual(seen, ['x']);
    assert.equal(typeof data.save, 'function');
    assert.deepEqual(await bench.stored('data'), { x: 1 });
  });

  test('assigning req.session replaces its content, not the object or the session', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      const { session: data, mks } = req;
      data.old = 1;
      req.session = { user: 'jack jones' };
      assert.equal(req.session, data);
      assert.equal(req.mks, mks);
      assert.equal(req.session.mks, mks);
      assert.equal(typeof req.session.save, 'function');
      res.send(200);
    });
    app.info((req, res) => {
      req.session = { other: true };
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'assigned' });
    await call.final();
    assert.deepEqual(await bench.stored('assigned'), { user: 'jack jones' });
    await call.request('INFO');
    assert.deepEqual(await bench.stored('assigned'), { other: true });
  });

  test('req.session.save takes a callback, or gives a promise', async (bench) => {
    const { app } = bench;
    const saw = [];
    app.invite(async (req, res) => {
      req.session.step = 1;
      assert.equal(await req.session.save(), undefined);
      saw.push(await bench.stored('saving'));
      req.session.step = 2;
      assert.deepEqual(await save(req.session), [null, false, undefined]);
      saw.push(await bench.stored('saving'));
      res.send(200);
    });
    await app.peer.invite({ callId: 'saving' }).final();
    assert.deepEqual(saw, [{ step: 1 }, { step: 2 }]);
  });

  test('a request that has a session already is passed on untouched', async (bench) => {
    const middleware = session({ store: bench.first });
    const own = { mine: true };
    const req = classic('INVITE', 'had', NEW);
    req.session = own;
    const res = response();
    const { send } = res;
    await reached(middleware, req, res);
    assert.equal(req.session, own);
    assert.equal(req.mks, undefined);
    assert.equal(req.sessionStore, undefined);
    assert.equal(res.send, send);
    await bench.assertEmpty();
  });

  test('two middlewares in one host: the second leaves the request alone', async (bench) => {
    const app = bench.host(bench.first);
    app.use(session({ store: bench.first, app }));
    app.invite((req, res) => {
      req.session.x = 1;
      res.send(200);
    });
    app.bye(echo);
    const call = app.peer.invite();
    await call.final();
    assert.deepEqual(told(await call.bye()), { x: 1 });
    assert.equal(app.sent.length, 2);
    await bench.assertEmpty();
  });
});
