'use strict';
// One session for both legs of a B2BUA.

const assert = require('node:assert/strict');
const b2bua = require('../../examples/b2bua');
const session = require('../..');
const { onEachStore, echo, told } = require('../support/contract/bench');

// An application that connects leg A to leg B with one session, and hangs up neither leg by itself.
function connect(app, onFinal = () => undefined) {
  app.invite((req, res) => {
    req.session.uasCallId = req.get('call-id');
    app.siprequest('sip:b@example', { session: req.session, body: req.body }, (err, uacReq, uacRes) => {
      if (uacRes.statusCode < 200) return;
      uacRes.ack();
      uacReq.session.uacCallId = uacReq.get('call-id');
      onFinal(req, uacReq, uacRes);
      res.send(uacRes.statusCode);
    });
  });
  app.bye(echo);
}

// A call through it: both legs, connected.
async function call(app, opts) {
  const invited = new Promise((resolve) => {
    app.peer.onInvite((uac) => {
      uac.respond(200);
      resolve(uac);
    });
  });
  const legA = app.peer.invite(opts);
  const legB = await invited;
  await legA.final();
  await legA.ack();
  return { legA, legB };
}

// Both legs hang up; resolves when whatever the application has sent because of that is answered.
const endTogether = async (legs) => {
  await Promise.all(legs.map((leg) => leg.bye()));
  // the application hangs up a leg that hangs up by itself at the same moment
  const sent = legs.flatMap((leg) => leg.requests).filter(({ method }) => method === 'BYE');
  await Promise.all(sent.map(({ answered }) => answered));
};

onEachStore((test, kind) => {
  test('an INVITE with {session}: both requests have one and the same session', async (bench) => {
    const { app } = bench;
    let legs;
    connect(app, (req, uacReq, uacRes) => (legs = { req, uacReq, uacRes }));
    const { legA, legB } = await call(app, { callId: 'leg-a' });
    const { req, uacReq, uacRes } = legs;
    assert.equal(uacReq.mks.uuid, req.mks.uuid);
    assert.equal(uacReq.mks, req.mks);
    assert.equal(uacReq.session, req.session);
    assert.equal(uacRes.req.session, req.session);
    const keys = ['mks:leg-a', `mks:${legB.callId}`];
    assert.deepEqual([...req.mks.keys].toSorted(), keys.toSorted());
    const data = { uasCallId: 'leg-a', uacCallId: legB.callId };
    for (const id of ['leg-a', legB.callId]) {
      const mks = await bench.find(id);
      assert.deepEqual([mks.uuid, { ...mks.session }], [req.mks.uuid, data]);
      assert.deepEqual([...mks.keys].toSorted(), keys.toSorted());
    }
    await legA.bye();
    await legB.bye();
    await bench.assertEmpty();
  });

  test('the session is not sent on: the host gets an INVITE without it', async (bench) => {
    const { app } = bench;
    connect(app);
    const { legB } = await call(app, { body: 'v=0 (caller)' });
    assert.equal(legB.body, 'v=0 (caller)');
    assert.deepEqual(Object.keys(legB.req.headers).includes('session'), false);
  });

  for (const first of ['A', 'B']) {
    test(`leg ${first} hangs up first: the other one still has everything, then nothing is left`, async (bench) => {
      const { app } = bench;
      connect(app);
      const { legA, legB } = await call(app, { callId: 'leg-a' });
      const [one, other] = first === 'A' ? [legA, legB] : [legB, legA];
      const data = { uasCallId: 'leg-a', uacCallId: legB.callId };
      assert.deepEqual(told(await one.bye()), data);
      assert.equal(await bench.stored(one.callId), undefined);
      assert.deepEqual(await bench.stored(other.callId), data);
      assert.deepEqual(told(await other.bye()), data);
      await bench.assertEmpty();
    });
  }

  test('both legs hang up at the same moment: nothing is left', async (bench) => {
    const { app } = bench;
    connect(app);
    for (let count = 0; count < 20; count++) {
      const { legA, legB } = await call(app);
      const answers = await Promise.all(count % 2 ? [legA.bye(), legB.bye()] : [legB.bye(), legA.bye()]);
      answers.forEach((answer) => assert.equal(told(answer).uacCallId, legB.callId));
      await bench.assertEmpty();
    }
  });

  if (kind.ours && kind.redis && !kind.cached) {
    test('both legs end together in two processes, 1,000 times: DBSIZE is 0', async (bench) => {
      const others = await Promise.all([bench.store(), bench.store()]);
      const apps = others.map((store) => bench.host(store));
      connect(bench.app);
      apps.forEach((app) => app.bye(echo));
      const one = async () => {
        const { legA, legB } = await call(bench.app);
        const legs = [legA, legB];
        await Promise.all(legs.map(({ callId }, i) => apps[i].peer.request('BYE', { callId, toTag: 'x' })));
      };
      for (let count = 0; count < 1000; count++) await one();
      await bench.assertEmpty('DBSIZE 0');
    });
  }

  test('both legs end together in one process, 1,000 times: nothing is left', async (bench) => {
    const app = bench.bare();
    b2bua(app, session, bench.first);
    let legB;
    app.peer.onInvite((uac) => {
      legB = uac;
      uac.respond(200);
    });
    const ends = [];
    for (let count = 0; count < 1000; count++) {
      const legA = app.peer.invite();
      await legA.final();
      ends.push(endTogether([legA, legB]));
      if (count % 50 === 49) await Promise.all(ends.splice(0));
    }
    await bench.assertEmpty('nothing is left after 1,000 calls');
  });

  test('failover: leg B is busy, the second one answers with the same session', async (bench) => {
    const { app } = bench;
    const uuids = new Set();
    app.invite((req, res) => {
      const attempt = (uri, more) => {
        app.siprequest(uri, { session: req.session }, (err, uacReq, uacRes) => {
          uuids.add(uacReq.mks.uuid);
          if (uacRes.statusCode < 200) return undefined;
          uacRes.ack();
          (uacReq.session.tried ??= []).push(uacRes.statusCode);
          if (uacRes.statusCode >= 300 && more.length) return attempt(more[0], more.slice(1));
          return res.send(uacRes.statusCode);
        });
      };
      attempt('sip:busy@example', ['sip:free@example']);
      uuids.add(req.mks.uuid);
    });
    app.bye(echo);
    const legs = [];
    app.peer.onInvite((uac) => {
      legs.push(uac);
      uac.respond(180).then(() => uac.respond(uac.req.uri.includes('busy') ? 486 : 200));
    });
    const legA = app.peer.invite({ callId: 'leg-a' });
    assert.equal((await legA.final()).statusCode, 200);
    assert.equal(uuids.size, 1, 'one session all the time');
    const mks = await bench.find('leg-a');
    assert.deepEqual([...mks.keys].toSorted(), ['mks:leg-a', `mks:${legs[1].callId}`].toSorted());
    assert.equal(await bench.stored(legs[0].callId), undefined, "the busy leg's key is gone");
    assert.deepEqual(told(await legs[1].bye()), { tried: [486, 200] });
    assert.deepEqual(told(await legA.bye()), { tried: [486, 200] });
    await bench.assertEmpty();
  });

  test('leg B refuses and so does the application: nothing is left', async (bench) => {
    const { app } = bench;
    connect(app);
    app.peer.onInvite((uac) => uac.respond(486));
    assert.equal((await app.peer.invite().final()).statusCode, 486);
    await bench.becomesEmpty();
  });

  test('leg B hangs up before leg A has been answered: leg A still has the session', async (bench) => {
    const { app } = bench;
    let answer;
    app.invite((req, res) => {
      req.session.user = 'jack jones';
      app.siprequest('sip:b@example', { session: req.session }, (err, uacReq, uacRes) => {
        uacRes.ack();
        answer = () => res.send(200);
      });
    });
    app.bye(echo);
    const invited = new Promise((resolve) => {
      app.peer.onInvite((uac) => {
        uac.respond(200);
        resolve(uac);
      });
    });
    const legA = app.peer.invite({ callId: 'leg-a' });
    const legB = await invited;
    await legB.received('ACK');
    assert.deepEqual(told(await legB.bye()), { user: 'jack jones' });
    answer();
    await legA.final();
    assert.deepEqual(await bench.stored('leg-a'), { user: 'jack jones' });
    await legA.bye();
    await bench.assertEmpty();
  });

  test('two legs change the session at the same moment: neither loses anything', async (bench) => {
    const { app } = bench;
    connect(app);
    app.info((req, res) => {
      req.session[req.body] = (req.session[req.body] || 0) + 1;
      req.session.total = (req.session.total || 0) + 1;
      setImmediate(() => res.send(200));
    });
    const { legA, legB } = await call(app, { callId: 'leg-a' });
    const infos = Array.from({ length: 10 }, () => [
      legA.request('INFO', { body: 'a' }),
      legB.request('INFO', { body: 'b' })
    ]);
    await Promise.all(infos.flat());
    const { a, b, total } = await bench.stored('leg-a');
    assert.deepEqual({ a, b, total }, { a: 10, b: 10, total: 20 });
  });

  if (kind.processes > 1) {
    test('a BYE in another process finds the session by either leg', async (bench) => {
      const other = bench.host(await bench.store());
      connect(bench.app);
      other.bye(echo);
      const { legA, legB } = await call(bench.app, { callId: 'leg-a' });
      for (const { callId } of [legB, legA]) {
        const answer = await other.peer.request('BYE', { callId, toTag: 'x' });
        assert.equal(told(answer).uacCallId, legB.callId);
      }
      await bench.assertEmpty();
    });
  }

  test('an INVITE with the session of a call that is over goes out all the same', async (bench) => {
    const { app } = bench;
    let old;
    app.invite((req, res) => {
      old = req.session;
      res.send(200);
    });
    app.bye((req, res) => res.send(200));
    const legA = app.peer.invite();
    await legA.final();
    await legA.bye();
    app.peer.onInvite((uac) => uac.respond(200));
    const status = await new Promise((resolve) => {
      app.siprequest('sip:b@example', { session: old }, (err, uacReq, uacRes) => {
        uacRes.ack(() => resolve(uacRes.statusCode));
      });
    });
    assert.equal(status, 200);
    bench.expected().forEach(({ code }) => assert.equal(code, 'ERR_SESSION_GONE'));
  });
});
