'use strict';
// drachtio-srf: which session a leg gets that the application sends, in every form of the calls that send one.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { SDP } = require('../../examples/drachtio-server');
const { onEachRelease } = require('../support/srf/bench');
const { until } = require('../support/waiting');

const BOB = 'sip:bob@b.example';
const offer = () => ({ localSdp: SDP('app') });
const CHALLENGE = { headers: { 'WWW-Authenticate': 'Digest realm="x", nonce="n1", algorithm=MD5, qop="auth"' } };
const PROXY_CHALLENGE = {
  headers: { 'Proxy-Authenticate': 'Digest realm="x", nonce="n1", algorithm=MD5, qop="auth"' }
};
const auth = { username: 'jack', password: 'secret' };
const REDIRECT = { headers: { Contact: '<sip:carol@c.example>' } };

// An application that makes legs of a call in a way of its own: connect(srf, req, res) -> {uas, uac}.
const connecting = (connect) => (srf) =>
  srf.invite(async (req, res) => {
    req.session.caller = req.callingNumber;
    try {
      const dialogs = await connect(srf, req, res);
      srf.emit('established', dialogs.uas, dialogs.uac, req);
    } catch (err) {
      srf.emit('failed', err);
    }
  });

// The same with createB2BUA and these options.
const b2bua = (options) =>
  connecting((srf, req, res) => srf.createB2BUA(req, res, BOB, { localSdpB: req.body, ...options }));

// Both legs hang up.
async function hangUp(bench, { call, callee }) {
  await call.bye();
  await callee.bye();
  await bench.becomesEmpty();
}

// What the callee of the last INVITE is, and how the earlier ones are answered.
function answerInTurn(server, ...answers) {
  const callees = [];
  server.onInvite((callee) => {
    callees.push(callee);
    const [status, opts] = answers[callees.length - 1] || [200, { body: SDP('bob') }];
    callee.respond(status, opts);
  });
  return callees;
}

// The ways to call createUAC: each gives a promise of the dialog.
const forms = {
  '(uri, opts)': (srf, opts) => srf.createUAC(BOB, opts),
  '(opts)': (srf, opts) => srf.createUAC({ uri: BOB, ...opts }),
  '(uri, opts, {cbRequest, cbProvisional})': (srf, opts, progress) => srf.createUAC(BOB, opts, progress),
  '(opts, {cbRequest, cbProvisional})': (srf, opts, progress) => srf.createUAC({ uri: BOB, ...opts }, progress),
  '(uri, opts, {…}, callback)': (srf, opts, progress) =>
    new Promise((resolve, reject) => {
      srf.createUAC(BOB, opts, progress, (err, dialog) => (err ? reject(err) : resolve(dialog)));
    }),
  '(uri, opts, cbRequest, cbProvisional)': (srf, opts, { cbRequest, cbProvisional }) =>
    srf.createUAC(BOB, opts, cbRequest, cbProvisional),
  '(uri, opts, cbRequest, cbProvisional, callback)': (srf, opts, { cbRequest, cbProvisional }) =>
    new Promise((resolve, reject) => {
      srf.createUAC(BOB, opts, cbRequest, cbProvisional, (err, dialog) => (err ? reject(err) : resolve(dialog)));
    }),
  '(opts, {…}, callback)': (srf, opts, progress) =>
    new Promise((resolve, reject) => {
      srf.createUAC({ uri: BOB, ...opts }, progress, (err, dialog) => (err ? reject(err) : resolve(dialog)));
    })
};

async function callbackOf(promise, done) {
  done(null, await promise);
}

const requested = (srf, calledBack, opts) => {
  if (!calledBack) return srf.request(BOB, opts);
  return new Promise((resolve, reject) => {
    srf.request(BOB, opts, (err, req) => (err ? reject(err) : resolve(req)));
  });
};

onEachRelease((test) => {
  // ---- createB2BUA

  test('createB2BUA: `session: false` gives the B leg a session of its own', async (bench) => {
    const srf = await bench.start(b2bua({ session: false }));
    const { given, ...legs } = await bench.connected(srf);
    const [uas, uac] = given;
    assert.notEqual(uas.mks.uuid, uac.mks.uuid);
    uac.session.callee = 'bob';
    await uac.session.save();
    assert.deepEqual(await bench.storedOf(uas.mks), { caller: 'caller' });
    assert.deepEqual(await bench.storedOf(uac.mks), { callee: 'bob' });
    const seen = [];
    for (const dialog of [uas, uac]) dialog.on('destroy', (bye) => seen.push({ ...bye.session }));
    await hangUp(bench, legs);
    assert.deepEqual(seen, [{ caller: 'caller' }, { callee: 'bob' }]);
  });

  test('createB2BUA: the session that is given is taken', async (bench) => {
    let room;
    const srf = await bench.start((app) =>
      app.invite(async (req, res) => {
        if (req.calledNumber === 'room') {
          const uas = await app.createUAS(req, res, offer());
          uas.session.room = 'A';
          await uas.session.save();
          room = uas.session;
          return app.emit('established', uas);
        }
        const { uas, uac } = await app.createB2BUA(req, res, BOB, { localSdpB: req.body, session: room });
        return app.emit('established', uas, uac);
      })
    );
    const first = await bench.call(srf, { to: 'room' });
    const { given, ...legs } = await bench.connected(srf);
    const [uas, uac] = given;
    assert.equal(uac.session, room);
    assert.notEqual(uas.mks.uuid, uac.mks.uuid);
    const seen = [];
    uac.on('info', (req, res) => {
      seen.push(req.session.room);
      res.send(200);
    });
    await first.call.bye();
    await legs.callee.info('1');
    assert.deepEqual(seen, ['A']);
    await hangUp(bench, legs);
  });

  test('createB2BUA with a callback, and with progress callbacks', async (bench) => {
    const seen = [];
    const progress = {
      cbRequest: (err, req) => seen.push(['request', err, req.method]),
      cbProvisional: (res) => seen.push(['provisional', res.status])
    };
    const ways = [
      (srf, req, res, done) => srf.createB2BUA(req, res, BOB, { localSdpB: req.body }, progress, done),
      (srf, req, res, done) => srf.createB2BUA(req, res, { uri: BOB, localSdpB: req.body }, progress, done),
      (srf, req, res, done) => callbackOf(srf.createB2BUA(req, res, BOB, { localSdpB: req.body }, progress), done)
    ];
    let way;
    const srf = await bench.start(
      connecting(
        (app, req, res) =>
          new Promise((resolve, reject) => {
            way(app, req, res, (err, dialogs) => (err ? reject(err) : resolve(dialogs)));
          })
      )
    );
    for (way of ways) {
      const { given, ...legs } = await bench.connected(srf);
      const [uas, uac] = given;
      assert.equal(uas.session, uac.session);
      assert.equal(uas.mks.keyCount, 2);
      assert.deepEqual(seen.splice(0), [
        ['request', null, 'INVITE'],
        ['provisional', 180]
      ]);
      await hangUp(bench, legs);
    }
  });

  test('createB2BUA of a call without an offer (3pcc)', async (bench) => {
    const srf = await bench.start(connecting((app, req, res) => app.createB2BUA(req, res, BOB)));
    const callee = bench.server.callee();
    const call = bench.server.call({ body: '', ack: false });
    const established = once(srf, 'established');
    await call.answered;
    call.ack({ body: SDP('caller') }, call.transaction.id);
    const [uas, uac] = await established;
    assert.equal(uas.session, uac.session);
    assert.deepEqual(await bench.storedOf(uas.mks), { caller: 'caller' });
    assert.match((await (await callee).received('ACK')).body, /o=caller/);
    await hangUp(bench, { call, callee: await callee });
  });

  test('createB2BUA again after the first callee was busy: one session, and no key of the failed leg', async (bench) => {
    const callees = answerInTurn(bench.server, [486], [200, { body: SDP('carol') }]);
    const srf = await bench.start(
      connecting(async (app, req, res) => {
        await assert.rejects(app.createB2BUA(req, res, BOB, { localSdpB: req.body, passFailure: false }), {
          status: 486
        });
        return app.createB2BUA(req, res, 'sip:carol@c.example', { localSdpB: req.body });
      })
    );
    const { call, given } = await bench.call(srf);
    const [uas, uac] = given;
    assert.equal(callees.length, 2);
    assert.equal(uas.session, uac.session);
    await until(() => uas.mks.keyCount === 2, 'the key of the failed leg to go');
    assert.deepEqual(await bench.storedOf(uas.mks), { caller: 'caller' });
    await hangUp(bench, { call, callee: callees[1] });
  });

  test('a change in the B leg before the call is answered is there in the A leg', async (bench) => {
    const srf = await bench.start(
      connecting((app, req, res) =>
        app.createB2BUA(
          req,
          res,
          BOB,
          { localSdpB: req.body },
          { cbRequest: (err, uac) => (uac.session.callId = uac.get('call-id')) }
        )
      )
    );
    const { given, ...legs } = await bench.connected(srf);
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'caller', callId: legs.callee.callId });
    await hangUp(bench, legs);
  });

  // ---- createUAC

  for (const [form, createUAC] of Object.entries(forms)) {
    test(`createUAC${form} with a session: one session, progress as it is`, async (bench) => {
      const seen = [];
      const progress = {
        cbRequest: (err, req) => seen.push(['request', err, req.method, req.session?.caller]),
        cbProvisional: (res) => seen.push(['provisional', res.status])
      };
      let options;
      const srf = await bench.start(
        connecting(async (app, req, res) => {
          const uas = await app.createUAS(req, res, offer());
          options = { ...offer(), session: uas.session };
          return { uas, uac: await createUAC(app, options, progress) };
        })
      );
      const { given, ...legs } = await bench.connected(srf);
      const [uas, uac] = given;
      assert.equal(uac.session, uas.session);
      assert.equal(uac.mks, uas.mks);
      assert.equal(options.session, uas.session, 'what the application gave is as it was');
      const heard = [
        ['request', null, 'INVITE', 'caller'],
        ['provisional', 180]
      ];
      assert.deepEqual(seen, form.includes('{') || form.includes('cb') ? heard : []);
      assert.deepEqual(await bench.storedOf({ keys: [`mks:${legs.callee.callId}`] }), { caller: 'caller' });
      await hangUp(bench, legs);
    });
  }

  test('createUAC that is refused leaves nothing, and the session it shared as it was', async (bench) => {
    bench.server.onInvite((callee) => callee.respond(486));
    const srf = await bench.start(
      connecting(async (app, req, res) => {
        const uas = await app.createUAS(req, res, offer());
        await assert.rejects(app.createUAC(BOB, offer()), { status: 486 });
        await assert.rejects(app.createUAC(BOB, { ...offer(), session: uas.session }), { status: 486 });
        return { uas };
      })
    );
    const { call, given } = await bench.call(srf);
    await until(() => given[0].mks.keyCount === 1, 'the key of the failed leg to go');
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'caller' });
    await until(async () => (await bench.size()) === 1, 'only the first leg to be left');
    await call.bye();
    await bench.becomesEmpty();
  });

  test('createUAC that the application cancels leaves nothing', async (bench) => {
    bench.server.onInvite((callee) => callee.respond(180));
    const srf = await bench.start((app) => app.invite((req, res) => res.send(404)));
    let sent;
    const progress = { cbRequest: (err, req) => (sent = req), cbProvisional: () => sent.cancel() };
    await assert.rejects(srf.createUAC(BOB, offer(), progress), { status: 487 });
    await bench.becomesEmpty();
  });

  test('createUAC that follows a redirect: the session goes with it', async (bench) => {
    const callees = answerInTurn(bench.server, [302, REDIRECT]);
    const requests = [];
    const srf = await bench.start(
      connecting(async (app, req, res) => {
        const uas = await app.createUAS(req, res, offer());
        const opts = { ...offer(), followRedirects: true, session: uas.session };
        return { uas, uac: await app.createUAC(BOB, opts, { cbRequest: (err, sent) => requests.push(sent) }) };
      })
    );
    const { call, given } = await bench.call(srf);
    const [uas, uac] = given;
    assert.equal(callees[1].uri, 'sip:carol@c.example');
    assert.equal(requests.length, 2);
    requests.forEach((req) => assert.equal(req.session, uas.session));
    assert.equal(uac.session, uas.session);
    await until(() => uas.mks.keyCount === 2, 'the key of the redirected leg to go');
    await hangUp(bench, { call, callee: callees[1] });
  });

  for (const [status, challenge] of [
    [401, CHALLENGE],
    [407, PROXY_CHALLENGE]
  ]) {
    test(`createUAC that is challenged with ${status}: the session stays`, async (bench) => {
      const callees = answerInTurn(bench.server, [status, challenge]);
      const srf = await bench.start(
        connecting(async (app, req, res) => {
          const uas = await app.createUAS(req, res, offer());
          return { uas, uac: await app.createUAC(BOB, { ...offer(), auth, session: uas.session }) };
        })
      );
      const { call, given } = await bench.call(srf);
      const [uas, uac] = given;
      assert.equal(callees[0].callId, callees[1].callId);
      assert.match(
        callees[1].invite.get(status === 401 ? 'authorization' : 'proxy-authorization'),
        /^Digest username="jack"/
      );
      assert.equal(uac.session, uas.session);
      assert.equal(uas.mks.keyCount, 2);
      await hangUp(bench, { call, callee: callees[1] });
    });

    test(`createUAC that is challenged with ${status}, then refused, leaves nothing`, async (bench) => {
      answerInTurn(bench.server, [status, challenge], [403]);
      const srf = await bench.start((app) => app.invite((req, res) => res.send(404)));
      await assert.rejects(srf.createUAC(BOB, { ...offer(), auth }), { status: 403 });
      await bench.becomesEmpty();
    });
  }

  test('createUAC with noAck: the dialog that ack() gives has the session', async (bench) => {
    const callees = answerInTurn(bench.server);
    const srf = await bench.start(
      connecting(async (app, req, res) => {
        const { sdp, ack } = await app.createUAC(BOB, { noAck: true, session: req.session });
        const [uas, uac] = await Promise.all([app.createUAS(req, res, { localSdp: sdp }), ack(req.body)]);
        return { uas, uac };
      })
    );
    const { call, given } = await bench.call(srf);
    const [uas, uac] = given;
    assert.equal(uac.session, uas.session);
    assert.match((await callees[0].received('ACK')).body, /o=caller/);
    await hangUp(bench, { call, callee: callees[0] });
  });

  test('createUAC for a SUBSCRIBE with a session', async (bench) => {
    const srf = await bench.start(
      connecting(async (app, req, res) => {
        const uas = await app.createUAS(req, res, offer());
        const opts = { method: 'SUBSCRIBE', headers: { Event: 'presence', Expires: '60' }, session: uas.session };
        return { uas, uac: await app.createUAC(BOB, opts) };
      })
    );
    const { given, call, callee } = await bench.connected(srf);
    const [uas, uac] = given;
    assert.equal(uac.session, uas.session);
    await callee.request('NOTIFY', { headers: { Event: 'presence', 'Subscription-State': 'terminated' } });
    await until(() => uas.mks.keyCount === 1, 'the key of the subscription to go');
    assert.deepEqual(await bench.storedOf(uas.mks), { caller: 'caller' });
    await call.bye();
    await bench.becomesEmpty();
  });

  // ---- request

  for (const calledBack of [true, false]) {
    const form = calledBack ? 'with a callback' : 'with a promise';
    test(`request({method: 'INVITE', session}) ${form}: its Call-ID leads to the session`, async (bench) => {
      const seen = [];
      const srf = await bench.start((app) => {
        connecting(async (_, req, res) => {
          const uas = await app.createUAS(req, res, offer());
          const sent = await requested(app, calledBack, { method: 'INVITE', body: SDP('app'), session: uas.session });
          assert.equal(sent.session, uas.session);
          await new Promise((resolve) => {
            sent.on('response', (response, ack) => {
              if (response.status < 200) return;
              ack();
              resolve();
            });
          });
          return { uas };
        })(app);
        app.bye((req, res) => {
          seen.push(req.session.caller);
          res.send(200);
        });
      });
      const { given, ...legs } = await bench.connected(srf);
      await legs.callee.received('ACK');
      await until(() => given[0].mks.keyCount === 2, 'the second key');
      await legs.callee.bye();
      assert.deepEqual(seen, ['caller']);
      assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'caller' });
      await legs.call.bye();
      await bench.becomesEmpty();
    });
  }

  test('request without a session is what it was, and leaves nothing', async (bench) => {
    const srf = await bench.start((app) => app.invite((req, res) => res.send(404)));
    const req = await srf.request(BOB, { method: 'OPTIONS' });
    const [res] = await once(req, 'response');
    assert.equal(res.status, 200);
    await bench.assertEmpty();
  });

  test('a session has many legs, one after the other', async (bench) => {
    const srf = await bench.start((app) => app.invite((req, res) => res.send(404)));
    const first = await srf.createUAC(BOB, offer());
    const { mks } = first;
    for (let count = 0; count < 20; count++) {
      const uac = await srf.createUAC(BOB, { ...offer(), session: first.session });
      assert.equal(mks.keyCount, 2);
      await uac.destroy();
      await until(() => mks.keyCount === 1, 'the key of the leg to go');
    }
    await first.destroy();
    await bench.becomesEmpty();
  });

  test('3pcc: the ACK of the caller never comes, and nothing of the B leg is left', async (bench) => {
    await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.caller = req.callingNumber;
        app.emit('ended', await app.createB2BUA(req, res, BOB, {}).catch((err) => err));
      })
    );
    const reached = bench.server.callee();
    const call = bench.server.call({ body: '', ack: false });
    await Promise.all([reached, call.answered]);
    call.ackTimeout();
    await bench.becomesEmpty();
  });

  test('createUAC with noAck: its key is stored with the dialog, not before', async (bench) => {
    const srf = await bench.start((app) => app.invite((req, res) => res.send(404)));
    const { ack } = await srf.createUAC(BOB, { noAck: true });
    await bench.assertEmpty();
    const uac = await ack(SDP('app'));
    uac.session.third = true;
    await uac.session.save();
    assert.deepEqual(await bench.storedOf(uac.mks), { third: true });
    await uac.destroy();
    await bench.becomesEmpty();
  });
});
