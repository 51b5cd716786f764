'use strict';
// drachtio-srf: the session is there in every request of a dialog, with and without a Dialog object, and on each Dialog.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../..');
const { SDP } = require('../../examples/drachtio-server');
const { onEachRelease } = require('../support/srf/bench');
const { until } = require('../support/waiting');

const answer = { localSdp: SDP('app') };
const NOTIFY = { headers: { Event: 'refer', 'Subscription-State': 'active' } };
const onHold = SDP('caller').replace('sendrecv', 'sendonly').replace('caller 1 1', 'caller 1 2');

// A UAS that remembers who called, and hands its dialog out.
function remember(srf, define = () => undefined) {
  srf.invite(async (req, res) => {
    req.session.caller = req.callingNumber;
    const uas = await srf.createUAS(req, res, { ...answer });
    define(uas, req);
    srf.emit('established', uas, req);
  });
}

onEachRelease((test, { kind }) => {
  test('each handler of a Dialog finds the session', async (bench) => {
    const seen = [];
    const see = (event) => (req, res) => {
      seen.push([event, req.session.caller, typeof req.mks.uuid]);
      if (typeof res?.send === 'function') res.send(200, event === 'modify' ? { body: SDP('app') } : {});
    };
    const srf = await bench.start((app) =>
      remember(app, (uas) => {
        const events = ['info', 'refer', 'notify', 'update', 'message', 'options', 'modify', 'hold', 'destroy', 'ack'];
        events.forEach((event) => uas.on(event, see(event)));
      })
    );
    const { call } = await bench.call(srf, { from: 'jack' });
    await until(() => seen.length === 1, 'the ACK');
    await call.info('1');
    await call.request('REFER', { headers: { 'Refer-To': '<sip:bob@b.example>' } });
    await call.request('NOTIFY', NOTIFY);
    await call.request('UPDATE');
    await call.request('MESSAGE', { body: 'hello' });
    await call.request('OPTIONS');
    await call.reinvite(onHold);
    await call.reinvite(SDP('other'));
    await call.bye();
    const events = seen.map(([event]) => event).filter((event, i) => event !== 'ack' || i === 0);
    assert.deepEqual(events, 'ack info refer notify update message options hold modify destroy'.split(' '));
    seen.forEach((entry) => assert.deepEqual(entry.slice(1), ['jack', 'string']));
    await bench.becomesEmpty();
  });

  test('a refresh finds the session, and what its handler changes is saved', async (bench) => {
    const srf = await bench.start((app) =>
      remember(app, (uas) => uas.on('refresh', (req) => (req.session.refreshed = req.session.caller)))
    );
    const { call, given } = await bench.call(srf, { from: 'jack' });
    assert.equal((await call.reinvite(SDP('caller'))).status, 200);
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'jack', refreshed: 'jack' });
    await call.bye();
    await bench.becomesEmpty();
  });

  test('each handler of the application finds the session where there is no Dialog', async (bench) => {
    const seen = [];
    const srf = await bench.start((app) => {
      app.invite((req, res) => {
        if (req.isNewInvite) req.session.caller = req.callingNumber;
        else seen.push(['reinvite', req.session.caller]);
        res.send(200, { body: SDP('app') });
      });
      for (const method of ['info', 'refer', 'notify', 'message', 'bye']) {
        app[method]((req, res) => {
          seen.push([method, req.session.caller]);
          res.send(200);
        });
      }
      app.ack((req) => seen.push(['ack', req.session.caller]));
    });
    assert.ok(srf);
    const call = bench.server.call({ from: 'jack' });
    await call.answered;
    await until(() => seen.length === 1, 'the ACK');
    await call.info('1');
    await call.request('REFER', { headers: { 'Refer-To': '<sip:bob@b.example>' } });
    await call.request('NOTIFY', NOTIFY);
    await call.request('MESSAGE', { body: 'hello' });
    await call.reinvite(SDP('other'));
    await until(() => seen.length === 7, 'the ACK of the re-INVITE');
    await call.bye();
    const expected = 'ack info refer notify message reinvite ack bye'.split(' ').map((event) => [event, 'jack']);
    assert.deepEqual(seen, expected);
    await bench.becomesEmpty();
  });

  test('without `app` the module finds the application on the first request', async (bench) => {
    const srf = bench.plain();
    srf.use(session({ store: bench.first }));
    const seen = [];
    remember(srf, (uas) => {
      uas.on('info', (req, res) => {
        seen.push(req.session.caller);
        res.send(200);
      });
      uas.on('destroy', (bye) => seen.push(bye.session.caller));
    });
    await bench.connect(srf);
    const { call, given } = await bench.call(srf, { from: 'jack' });
    assert.equal(given[0].session.caller, 'jack');
    await call.info('1');
    await call.bye();
    assert.deepEqual(seen, ['jack', 'jack']);
    await bench.becomesEmpty();
  });

  test('a UAS Dialog has session and mks, those of its INVITE', async (bench) => {
    const srf = await bench.start((app) => remember(app));
    const { call, given } = await bench.call(srf, { from: 'jack' });
    const [uas, req] = given;
    assert.equal(uas.session, req.session);
    assert.equal(uas.mks, req.mks);
    assert.deepEqual({ ...uas.session }, { caller: 'jack' });
    assert.deepEqual(await bench.storedOf(uas.mks), { caller: 'jack' });
    await call.bye();
    await bench.becomesEmpty();
  });

  test('a UAC Dialog has a session of its own', async (bench) => {
    const srf = await bench.start((app) => app.invite((req, res) => res.send(404)));
    const [callee, uac] = await Promise.all([bench.server.callee(), srf.createUAC('sip:bob@b.example', { ...answer })]);
    assert.ok(uac.mks.uuid);
    uac.session.callee = 'bob';
    await uac.session.save();
    assert.deepEqual(await bench.storedOf(uac.mks), { callee: 'bob' });
    const seen = [];
    uac.on('info', (req, res) => {
      seen.push(req.session.callee);
      assert.equal(req.session, uac.session);
      res.send(200);
    });
    await callee.info('1');
    const destroyed = once(uac, 'destroy');
    await callee.bye();
    const [bye] = await destroyed;
    assert.deepEqual([...seen, bye.session.callee], ['bob', 'bob']);
    await bench.becomesEmpty();
  });

  test('a B2BUA has one session for both legs', async (bench) => {
    const seen = [];
    const srf = await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.caller = req.callingNumber;
        const { uas, uac } = await app.createB2BUA(req, res, 'sip:bob@b.example', { localSdpB: req.body });
        for (const dialog of [uas, uac]) {
          dialog.on('info', (info, infoRes) => {
            info.session.digits = (info.session.digits || '') + info.body;
            infoRes.send(200);
          });
          dialog.on('destroy', (bye) => {
            seen.push({ ...bye.session });
            dialog.other.destroy();
          });
        }
        app.emit('established', uas, uac, req);
      })
    );
    const { call, callee, given } = await bench.connected(srf, { from: 'jack' });
    const [uas, uac, req] = given;
    assert.equal(uas.session, uac.session);
    assert.equal(uas.session, req.session);
    assert.equal(uas.mks, uac.mks);
    assert.equal(uas.mks.keyCount, 2);
    await callee.info('4');
    await call.info('2');
    assert.deepEqual(await bench.storedOf(uas.mks), { caller: 'jack', digits: '42' });
    await callee.bye();
    await (
      await call.received('BYE')
    ).answered;
    assert.deepEqual(seen, [{ caller: 'jack', digits: '42' }]);
    await bench.becomesEmpty();
  });

  test('what an ACK handler changes is saved', async (bench) => {
    const srf = await bench.start((app) => remember(app, (uas) => uas.on('ack', (ack) => (ack.session.acked = true))));
    const { call, given } = await bench.call(srf, { from: 'jack' });
    await until(async () => (await bench.storedOf(given[0].mks))?.acked, 'the change to be stored');
    await call.bye();
    await bench.becomesEmpty();
  });

  test('a change to dialog.session from a timer is saved by dialog.session.save()', async (bench) => {
    const srf = await bench.start((app) => remember(app));
    const { call, given } = await bench.call(srf, { from: 'jack' });
    const [uas] = given;
    await sleep(100);
    uas.session.minutes = 1;
    await uas.session.save();
    assert.deepEqual(await bench.storedOf(uas.mks), { caller: 'jack', minutes: 1 });
    let told;
    uas.on('info', (req, res) => {
      told = req.session.minutes;
      res.send(200);
    });
    await call.info('1');
    assert.equal(told, 1);
    await call.bye();
    await bench.becomesEmpty();
  });

  test('a change to dialog.session in a handler of another request is saved with it', async (bench) => {
    const srf = await bench.start((app) =>
      remember(app, (uas) => {
        uas.on('info', (req, res) => {
          uas.session.digit = req.body;
          res.send(200);
        });
      })
    );
    const { call, given } = await bench.call(srf, { from: 'jack' });
    await call.info('7');
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'jack', digit: '7' });
    await call.bye();
    await bench.becomesEmpty();
  });

  test('requests in an early dialog find the session of the pending INVITE', async (bench) => {
    const seen = [];
    const srf = await bench.start((app) => {
      app.invite((req, res) => {
        req.session.caller = req.callingNumber;
        res.send(183);
        app.once('go on', () => res.send(200, { body: SDP('app') }));
      });
      app.info((req, res) => {
        seen.push(req.session.caller);
        res.send(200);
      });
      app.bye((req, res) => res.send(200));
    });
    const call = bench.server.call({ from: 'jack' });
    await call.response(183);
    await call.info('early');
    srf.emit('go on');
    await call.answered;
    await call.info('late');
    await call.bye();
    assert.deepEqual(seen, ['jack', 'jack']);
    await bench.becomesEmpty();
  });

  test('an UPDATE before the final response finds the session of its INVITE', async (bench) => {
    const seen = [];
    const update = (req, res) => {
      seen.push(req.session.caller);
      res.send(200);
    };
    const srf = await bench.start((app) => {
      app.invite((req, res) => {
        req.session.caller = req.callingNumber;
        req.on('update', update); // drachtio-srf 5
        res.send(183);
        app.once('go on', () => res.send(200, { body: SDP('app') }));
      });
      app.update(update); // drachtio-srf 4
      app.bye((req, res) => res.send(200));
    });
    const call = bench.server.call({ from: 'jack' });
    await call.response(183);
    assert.equal((await call.request('UPDATE')).status, 200);
    assert.deepEqual(seen, ['jack']);
    srf.emit('go on');
    await call.answered;
    await call.bye();
    await bench.becomesEmpty();
  });

  test('a re-INVITE is not a new call', async (bench) => {
    let mks;
    const srf = await bench.start((app) =>
      remember(app, (uas) => {
        uas.on('modify', (req, res) => {
          mks = req.mks;
          req.session.modified = true;
          res.send(200, { body: SDP('app') });
        });
      })
    );
    const { call, given } = await bench.call(srf, { from: 'jack' });
    await call.reinvite(SDP('other'));
    assert.equal(mks.uuid, given[0].mks.uuid);
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'jack', modified: true });
    await call.bye();
    await bench.becomesEmpty();
  });

  test('a re-INVITE that is rejected takes nothing away', async (bench) => {
    const srf = await bench.start((app) => remember(app, (uas) => uas.on('modify', (req, res) => res.send(488))));
    const { call, given } = await bench.call(srf, { from: 'jack' });
    assert.equal((await call.reinvite(SDP('other'))).status, 488);
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'jack' });
    await call.bye();
    await bench.becomesEmpty();
  });

  test('one Call-ID with different From tags: each dialog ends without taking the other one along', async (bench) => {
    const seen = [];
    const srf = await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.caller = req.callingNumber;
        const uas = await app.createUAS(req, res, { ...answer });
        const see = (got) => seen.push([req.callingNumber, got.session.caller]);
        uas.on('info', (info, infoRes) => (see(info), infoRes.send(200)));
        uas.on('destroy', see);
        app.emit('established', uas);
      })
    );
    const one = await bench.call(srf, { callId: 'spiral', from: 'first', tag: 'one' });
    const two = await bench.call(srf, { callId: 'spiral', from: 'second', tag: 'two' });
    await one.call.bye();
    await two.call.info('1');
    await two.call.bye();
    assert.deepEqual(seen, [
      ['first', 'first'],
      ['second', 'second'],
      ['second', 'second']
    ]);
    await bench.becomesEmpty();
  });

  if (kind.processes > 1) {
    test('an INVITE that one process challenges goes on in another, with its session', async (bench) => {
      const seen = [];
      const define = (name) => (app) =>
        app.invite(async (req, res) => {
          if (!req.has('authorization')) {
            req.session.challengedBy = name;
            return res.send(401, { headers: { 'WWW-Authenticate': 'Digest realm="x", nonce="n1"' } });
          }
          seen.push([name, req.session.challengedBy]);
          return app.emit('established', await app.createUAS(req, res, { ...answer }));
        });
      await bench.start(define('one'));
      const other = await bench.process();
      define('other')(other);
      await bench.connect(other, 2);
      const ids = { callId: 'challenged', tag: 'same' };
      assert.equal((await bench.server.call(ids).final).status, 401);
      const retried = bench.server.call({ ...ids, headers: { Authorization: 'Digest username="jack"' } });
      await Promise.all([retried.answered, once(other, 'established')]);
      assert.deepEqual(seen, [['other', 'one']]);
      await retried.bye();
      await bench.becomesEmpty();
    });

    test('after a restart of the server, a request of a dialog finds its session in any process', async (bench) => {
      const seen = [];
      const define = (name) => (app) => {
        remember(app);
        app.info((req, res) => {
          seen.push([name, req.stackDialogId, req.session.caller]);
          res.send(200);
        });
        app.bye((req, res) => res.send(200));
      };
      const srf = await bench.start(define('one'));
      const { call } = await bench.call(srf, { from: 'jack' });
      const other = await bench.process();
      define('other')(other);
      await bench.connect(other, 2);
      bench.server.restart();
      await bench.server.routed(['info', 'bye'], 2);
      for (const digit of ['1', '2']) assert.equal((await call.info(digit)).status, 200);
      assert.deepEqual(seen.map(([name]) => name).toSorted(), ['one', 'other']);
      seen.forEach((entry) => assert.deepEqual(entry.slice(1), ['', 'jack']));
      assert.equal((await call.bye()).status, 200);
      await bench.becomesEmpty();
    });
  }

  // ---- responses

  test('res.end() of a handler leaves, in a dialog and for an INVITE', async (bench) => {
    const srf = await bench.start((app) => {
      app.use('invite', (req, res, next) => {
        if (req.calledNumber !== 'end') return next();
        req.session.caller = req.callingNumber;
        res.status = 486;
        return res.end();
      });
      remember(app, (uas) =>
        uas.on('info', (req, res) => {
          req.session.digits = req.body;
          res.status = 202;
          res.end();
          assert.throws(() => res.end(), /finished/);
        })
      );
    });
    const { call, given } = await bench.call(srf);
    assert.equal((await call.info('1')).status, 202);
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'caller', digits: '1' });
    assert.equal((await call.bye()).status, 200);
    assert.equal((await bench.server.call({ to: 'end' }).final).status, 486);
    await bench.becomesEmpty();
  });

  test('res.status and finalResponseSent are there when res.send has returned', async (bench) => {
    const seen = [];
    const srf = await bench.start((app) =>
      remember(app, (uas) =>
        uas.on('info', (req, res) => {
          req.session.digits = req.body;
          res.send(202);
          seen.push(res.status, res.statusCode, res.finalResponseSent);
        })
      )
    );
    const { call } = await bench.call(srf);
    assert.equal((await call.info('1')).status, 202);
    assert.deepEqual(seen, [202, 202, true]);
    await call.bye();
  });

  test('a status code that drachtio-srf does not know is refused at once, and another may be given', async (bench) => {
    const refused = [];
    const srf = await bench.start((app) =>
      remember(app, (uas) =>
        uas.on('info', (req, res) => {
          req.session.digits = req.body;
          try {
            res.send(299);
          } catch (err) {
            refused.push(err.message);
            res.send(500);
          }
        })
      )
    );
    const { call, given } = await bench.call(srf);
    assert.equal((await call.info('1')).status, 500);
    assert.match(refused.join(), /must be a valid sip response code/);
    assert.deepEqual(await bench.storedOf(given[0].mks), { caller: 'caller', digits: '1' });
    await call.bye();
    await bench.becomesEmpty();
  });
});
