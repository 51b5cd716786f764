'use strict';
// What the classic host sends to its server for app.siprequest(uri, {session}): its options as JSON, without the session.

const assert = require('node:assert/strict');
const { onEachStore } = require('../support/contract/bench');

const URI = 'sip:b@example';
const CARD = '4111 1111 1111 1111';
const HEADERS = { subject: 'a call' };

// data that JSON.stringify refuses, and data that must not travel
function fill(data) {
  Object.assign(data, { card: CARD, cents: 10n });
  data.self = data;
}

// The ways to pass the options on: `call(app, options, callback)`.
const forms = {
  '(uri, options, callback)': (app, options, callback) => app.siprequest(URI, options, callback),
  '(options, callback)': (app, options, callback) => app.siprequest({ uri: URI, ...options }, callback),
  'siprequest.invite(uri, options, callback)': (app, options, callback) =>
    app.siprequest.invite(URI, options, callback),
  'siprequest.invite(options, callback)': (app, options, callback) =>
    app.siprequest.invite({ uri: URI, ...options }, callback),
  'options with a prototype': (app, options, callback) => app.siprequest(URI, Object.create(options), callback),
  'options of a class': (app, options, callback) => {
    class Options {}
    app.siprequest(URI, Object.assign(new Options(), options), callback);
  },
  'options without a prototype': (app, options, callback) =>
    app.siprequest(URI, Object.assign(Object.create(null), options), callback),
  'frozen options': (app, options, callback) => app.siprequest(URI, Object.freeze({ ...options }), callback)
};

const given = { 'the data object': (req) => req.session, mks: (req) => req.mks };

// Answers a call when leg B, sent with what `send` does, is answered -> {req, uacReq, error}
async function call(bench, send) {
  const { app } = bench;
  const ended = new Promise((resolve) => {
    app.invite((req, res) => {
      const finish = (error, uacReq, uacRes) => {
        if (uacRes) uacRes.ack();
        res.send(error ? 500 : 200);
        resolve({ req, uacReq, error });
      };
      fill(req.session);
      try {
        send(app, req, (error, uacReq, uacRes) => uacRes.statusCode >= 200 && finish(error, uacReq, uacRes));
        // no store can hold these
        for (const name of ['cents', 'self']) delete req.session[name];
      } catch (error) {
        finish(error);
      }
    });
  });
  await app.peer.invite({ callId: 'leg-a' }).final();
  return await ended;
}

function assertNothing(app, count = 1) {
  assert.equal(app.wire.length, count);
  for (const wire of app.wire) {
    assert.equal(wire.includes(CARD), false, wire);
    assert.equal('session' in JSON.parse(wire), false, wire);
    assert.equal('mks' in JSON.parse(wire), false, wire);
  }
}

onEachStore(
  (test) => {
    for (const [form, send] of Object.entries(forms)) {
      for (const [what, of] of Object.entries(given)) {
        test(`${form} with ${what}: nothing of the session travels`, async (bench) => {
          const { app } = bench;
          const { req, uacReq, error } = await call(bench, (_, invite, callback) =>
            send(app, { session: of(invite), body: 'v=0', headers: HEADERS }, callback)
          );
          assert.ifError(error);
          assertNothing(app);
          // JSON has no inherited properties
          if (form !== 'options with a prototype') {
            const { body, headers } = JSON.parse(app.wire[0]);
            assert.deepEqual({ body, headers }, { body: 'v=0', headers: HEADERS });
          }
          assert.equal(uacReq.mks, req.mks);
          assert.deepEqual([...req.mks.keys].toSorted(), ['mks:leg-a', `mks:${uacReq.id}`].toSorted());
        });
      }
    }

    test('options that the application uses again stay as they are', async (bench) => {
      const { app } = bench;
      let options, before;
      const sent = [];
      const { req } = await call(bench, (_, invite, callback) => {
        options = { session: invite.session, body: 'v=0', headers: HEADERS };
        before = { ...options };
        for (const uri of ['sip:b@example', 'sip:c@example']) sent.push(app.siprequest(uri, options, () => undefined));
        sent.push(app.siprequest(URI, options, callback));
      });
      assert.deepEqual(Object.keys(options), Object.keys(before));
      for (const name of Object.keys(before)) assert.equal(options[name], before[name], name);
      assertNothing(app, 3);
      for (const uacReq of sent) assert.equal(uacReq.mks, req.mks);
      assert.equal(req.mks.keyCount, 4);
    });

    test('session: false or null is not sent, and leg B gets a session of its own', async (bench) => {
      for (const none of [false, null, undefined]) {
        const { app } = bench;
        app.wire.length = 0;
        app.stack.length = 1;
        const { req, uacReq, error } = await call(bench, (_, invite, callback) =>
          app.siprequest(URI, { session: none, body: 'v=0' }, callback)
        );
        assert.ifError(error);
        assertNothing(app);
        assert.notEqual(uacReq.mks.uuid, req.mks.uuid);
      }
    });

    test('what is no session of the module is refused, and nothing is sent', async (bench) => {
      const { app } = bench;
      const { error } = await call(bench, (_, invite, callback) =>
        app.siprequest(URI, { session: { ...invite.session } }, callback)
      );
      assert.equal(error.code, 'ERR_SESSION_OPTION');
      assert.deepEqual(app.wire, []);
    });

    test('a request that begins no dialog is sent without the session too', async (bench) => {
      const { app } = bench;
      const { req, error } = await call(bench, (_, invite, callback) =>
        app.siprequest.options(URI, { session: invite.session, body: 'ping' }, (err, sent, res) =>
          callback(err, undefined, { statusCode: res.statusCode, ack() {} })
        )
      );
      assert.ifError(error);
      assertNothing(app);
      assert.equal(req.mks.keyCount, 1);
    });
  },
  ({ ours, cached }) => ours && !cached
);
