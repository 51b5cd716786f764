'use strict';
// drachtio-srf: what formed a dialog decides whether a SUBSCRIBE or NOTIFY ends it, in any process: a subscription within a
// call does not end the call (RFC 5057), a subscription of its own ends, and a fetch (RFC 6665, 4.4.3) leaves nothing.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { plain, uas } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');

const TERMINATED = { 'Subscription-State': 'terminated;reason=timeout' };
const INSIDE = {
  'SUBSCRIBE with Expires: 0': ['SUBSCRIBE', { Event: 'conference', Expires: 0 }],
  'NOTIFY with the state terminated': ['NOTIFY', { Event: 'dialog', ...TERMINATED }],
  'NOTIFY terminated of a REFER': ['NOTIFY', { Event: 'refer', ...TERMINATED }]
};
const MINE = { owner: 'ann' };

// Accepts subscriptions by res.send(202), and answers what comes within them.
function notifier(srf, world) {
  srf.subscribe((req, res) => {
    if (req.session.owner && req.session.owner !== req.callingNumber)
      world.wrong.push(`${req.session.owner} was found`);
    req.session.owner = req.callingNumber;
    res.send(202, { headers: { Expires: req.get('expires') } }, () => srf.emit('up', res.stackDialogId));
  });
}

const notify = (srf, stackDialogId, state) =>
  new Promise((resolve, reject) => {
    const headers = { Event: 'presence', 'Subscription-State': state };
    srf.request('sip:placeholder', { method: 'NOTIFY', stackDialogId, headers }, (err, req) =>
      err ? reject(err) : req.on('response', resolve)
    );
  });

inEachWorld((test) => {
  for (const [what, [method, headers]] of Object.entries(INSIDE)) {
    test(`${what} in a call that was answered by res.send(200)`, async (world) => {
      const srf = await world.start(plain);
      const call = await world.call(srf, { from: 'ann' });
      assert.equal((await call.request(method, { headers })).status, 200);
      assert.deepEqual(await world.stored(call.callId), MINE);
      assert.deepEqual(await world.info(call), MINE);
      await call.bye();
      assert.deepEqual(world.ended, [MINE]);
    });

    test(`${what} in a call with a Dialog`, async (world) => {
      const srf = await world.start((app) => {
        uas(app, world);
        app.on('up', (dialog) => {
          for (const event of ['subscribe', 'notify']) dialog.on(event, (req, res) => res.send(200));
          dialog.on('unsubscribe', () => undefined);
        });
      });
      const call = await world.call(srf, { from: 'ann' });
      await call.request(method, { headers });
      assert.deepEqual(await world.info(call), MINE);
      assert.deepEqual(await world.stored(call.callId), MINE);
      await call.bye();
    });

    test(`${what} reaches another process than the call`, ['processes'], async (world) => {
      const one = await world.start(plain);
      const call = await world.call(one, { from: 'ann' });
      await world.kill(one);
      await world.start(plain);
      world.server.restart();
      await world.server.routed(['subscribe', 'notify', 'info', 'bye']);
      assert.equal((await call.request(method, { headers })).status, 200);
      assert.deepEqual(await world.stored(call.callId), MINE);
      assert.deepEqual(await world.info(call), MINE);
      await call.bye();
      assert.deepEqual(world.ended, [MINE]);
    });
  }

  test('a fetch (SUBSCRIBE with Expires: 0 and without a To tag) leaves nothing', async (world) => {
    const srf = await world.start(notifier);
    const up = once(srf, 'up');
    const fetch = world.server.subscribe({ from: 'ann', headers: { Expires: 0 } });
    assert.equal((await fetch.final).status, 202);
    const [dialogId] = await up;
    assert.equal((await notify(srf, dialogId, 'terminated;reason=timeout')).status, 200);
    await world.becomesEmpty();
  });

  test('a fetch with a Dialog leaves nothing', async (world) => {
    const srf = await world.start((app) =>
      app.subscribe(async (req, res) => {
        world.begins(req);
        app.emit('up', await app.createUAS(req, res, { headers: { Expires: 0 } }));
      })
    );
    const up = once(srf, 'up');
    const fetch = world.server.subscribe({ from: 'ann', headers: { Expires: 0 } });
    const [[dialog]] = await Promise.all([up, fetch.answered]);
    await dialog.request({ method: 'NOTIFY', headers: { Event: 'presence', ...TERMINATED } });
    await world.becomesEmpty();
  });

  test('a fetch with the Call-ID of a call that is up leaves the call', async (world) => {
    const srf = await world.start((app) => {
      uas(app, world);
      app.subscribe((req, res) => {
        world.begins(req);
        res.send(202, { headers: { Expires: 0 } });
      });
    });
    const call = await world.call(srf, { from: 'ann', callId: 'fetched@a.example', tag: 'T1' });
    const headers = { Expires: 0 };
    const fetch = world.server.subscribe({ from: 'ben', callId: call.callId, tag: 'T2', headers });
    assert.equal((await fetch.final).status, 202);
    assert.deepEqual(await world.info(call), MINE);
    await call.bye();
  });

  test('a subscription that the watcher ends with Expires: 0, without a Dialog', async (world) => {
    const srf = await world.start(notifier);
    const up = once(srf, 'up');
    const subscription = world.server.subscribe({ from: 'ann' });
    await Promise.all([up, subscription.answered]);
    assert.deepEqual(await world.stored(subscription.callId), MINE);
    await subscription.request('SUBSCRIBE', { headers: { Event: 'presence', Expires: 60 } });
    assert.deepEqual(await world.stored(subscription.callId), MINE);
    await subscription.request('SUBSCRIBE', { headers: { Event: 'presence', Expires: 0 } });
    await world.becomesEmpty();
  });

  test('a subscription that is ended with Expires: 0 in another process', ['processes'], async (world) => {
    const one = await world.start(notifier);
    const up = once(one, 'up');
    const subscription = world.server.subscribe({ from: 'ann' });
    await Promise.all([up, subscription.answered]);
    await world.kill(one);
    await world.start(notifier);
    world.server.restart();
    await world.server.routed('subscribe');
    assert.equal((await subscription.request('SUBSCRIBE', { headers: { Event: 'presence', Expires: 0 } })).status, 202);
    await world.becomesEmpty();
  });

  test('a subscription and a call with one Call-ID: the end of the subscription leaves the call', async (world) => {
    const srf = await world.start((app) => {
      uas(app, world);
      app.subscribe((req, res) => {
        req.session.owner = 'ben';
        res.send(202, { headers: { Expires: req.get('expires') } });
      });
    });
    const call = await world.call(srf, { from: 'ann', callId: 'shared@a.example', tag: 'T1' });
    const subscription = world.server.subscribe({ from: 'ben', callId: call.callId, tag: 'T2' });
    assert.equal((await subscription.final).status, 202);
    assert.equal((await world.keys()).length, 2);
    await subscription.request('SUBSCRIBE', { headers: { Event: 'presence', Expires: 0 } });
    await world.hasKeys(1);
    assert.deepEqual(await world.info(call), MINE);
    await call.bye();
  });
});
