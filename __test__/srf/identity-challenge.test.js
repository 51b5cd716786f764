'use strict';
// drachtio-srf: a caller who is challenged and comes again has one session, from the challenge to the end of the call; and
// credentials alone do not give a caller the session of another call.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { BOB, CHALLENGE, CREDENTIALS, challenged, challenger, uas } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');

const TAGS = { 'the same From tag': 'T1', 'another From tag': 'T2' };
const withCredentials = (opts) => ({ ...opts, headers: { ...opts.headers, ...CREDENTIALS } });
const annsSession = { owner: 'ann', account: 'account of ann' };

// A SUBSCRIBE is challenged, and then accepted; the dialog ends as `end` says.
const notifier = (seen) => (srf, world) =>
  srf.subscribe(async (req, res) => {
    if (challenged(req, res, world)) return undefined;
    seen.push({ ...req.session });
    const dialog = await srf.createUAS(req, res, { headers: { Expires: 60 } });
    return srf.emit('up', world.follow(dialog, req.callingNumber));
  });

inEachWorld((test) => {
  for (const [which, tag] of Object.entries(TAGS)) {
    const first = { callId: 'challenged@a.example', tag: 'T1', from: 'ann' };
    const again = withCredentials({ ...first, tag });

    test(`an INVITE that answers a challenge, with ${which}: one session to the BYE`, async (world) => {
      const seen = [];
      const srf = await world.start(challenger(seen));
      assert.equal((await world.dial(srf, first).final).status, 407);
      const call = await world.call(srf, again);
      assert.deepEqual(seen, [annsSession]);
      const all = { ...annsSession, answered: true };
      assert.deepEqual(await world.info(call), all);
      assert.deepEqual(await world.stored(first.callId), all);
      await call.bye();
      assert.deepEqual(world.ended, [all]);
    });

    test(`an INVITE that answers a challenge of another process, with ${which}`, ['processes'], async (world) => {
      const seen = [];
      const one = await world.start(challenger(seen));
      const other = await world.start(challenger(seen));
      assert.equal((await world.dial(one, first).final).status, 407);
      const call = await world.call(other, again);
      assert.deepEqual(seen, [annsSession]);
      const all = { ...annsSession, answered: true };
      assert.deepEqual(await world.info(call), all);
      await call.bye();
      assert.deepEqual(world.ended, [all]);
    });

    test(`a SUBSCRIBE that answers a challenge, with ${which}`, async (world) => {
      const seen = [];
      const srf = await world.start(notifier(seen));
      const subscribe = (opts) =>
        world.server.subscribe({ ...opts, connectTo: srf.connection, headers: { Event: 'presence', ...opts.headers } });
      assert.equal((await subscribe(first).final).status, 407);
      const up = once(srf, 'up');
      const subscription = subscribe(again);
      const [[dialog]] = await Promise.all([up, subscription.answered]);
      assert.deepEqual(seen, [annsSession]);
      assert.deepEqual({ ...dialog.session }, annsSession);
      assert.deepEqual(await world.stored(first.callId), annsSession);
      await dialog.destroy();
    });

    test(`a SUBSCRIBE that answers a challenge of another process, with ${which}`, ['processes'], async (world) => {
      const seen = [];
      const one = await world.start(notifier(seen));
      const other = await world.start(notifier(seen));
      assert.equal((await world.server.subscribe({ ...first, connectTo: one.connection }).final).status, 407);
      const up = once(other, 'up');
      const subscription = world.server.subscribe({ ...again, connectTo: other.connection });
      const [[dialog]] = await Promise.all([up, subscription.answered]);
      assert.deepEqual(seen, [annsSession]);
      await dialog.destroy();
    });

    test(`a B2BUA whose caller was challenged, with ${which}: both legs have his session`, async (world) => {
      const seen = [];
      const srf = await world.start(
        challenger(seen, async (app, req, res) => {
          const { uas: legA, uac: legB } = await app.createB2BUA(req, res, BOB, { localSdpB: req.body });
          legA.on('destroy', () => legB.destroy().catch(() => undefined));
          return [legA, legB];
        })
      );
      assert.equal((await world.dial(srf, first).final).status, 407);
      const call = await world.connect(srf, again);
      assert.deepEqual(seen, [annsSession]);
      assert.equal(call.dialogs[0].session, call.dialogs[1].session);
      assert.deepEqual(await world.info(call.callee), { ...annsSession, answered: true });
      await call.bye();
      await call.callee.received('BYE');
    });
  }

  // ---- credentials and a Call-ID that has been used before

  test('credentials on a first INVITE, while a call with its Call-ID is up', async (world) => {
    const seen = [];
    const srf = await world.start(challenger(seen));
    const id = { callId: 'used@a.example' };
    const ann = await world.call(srf, withCredentials({ ...id, tag: 'T1', from: 'ann' }));
    const ben = await world.call(srf, withCredentials({ ...id, tag: 'T2', from: 'ben' }));
    assert.deepEqual(seen, [{}, {}]);
    assert.equal((await world.info(ann)).owner, 'ann');
    assert.equal((await world.info(ben)).owner, 'ben');
    await ben.bye();
    assert.equal((await world.info(ann)).owner, 'ann');
    await ann.bye();
  });

  test('credentials on a first INVITE, while a call with its Call-ID is up elsewhere', ['claims'], async (world) => {
    const seen = [];
    const one = await world.start(challenger(seen));
    const other = await world.start(challenger(seen));
    const id = { callId: 'used@a.example' };
    const ann = await world.call(one, withCredentials({ ...id, tag: 'T1', from: 'ann' }));
    const ben = await world.call(other, withCredentials({ ...id, tag: 'T2', from: 'ben' }));
    assert.deepEqual(seen, [{}, {}]);
    assert.equal((await world.info(ann)).owner, 'ann');
    assert.equal((await world.info(ben)).owner, 'ben');
    await ann.bye();
    assert.equal((await world.info(ben)).owner, 'ben');
    await ben.bye();
  });

  test('credentials on a first INVITE with the Call-ID of a call whose process died', ['claims'], async (world) => {
    const seen = [];
    const one = await world.start(uas);
    const ann = await world.call(one, { callId: 'used@a.example', tag: 'T1', from: 'ann' });
    const dialogId = ann.dialog.id;
    await world.kill(one);
    const other = await world.start(challenger(seen));
    const ben = await world.call(other, withCredentials({ callId: ann.callId, tag: 'T2', from: 'ben' }));
    assert.deepEqual(seen, [{}]);
    assert.equal((await world.info(ben)).owner, 'ben');
    await ben.bye();
    // what the dead process left is still there, and any process can end it
    assert.deepEqual(await world.stored(ann.callId), { owner: 'ann' });
    const bye = await other.request('sip:placeholder', { method: 'BYE', stackDialogId: dialogId });
    await once(bye, 'response');
  });

  test('two callers with one Call-ID are challenged: neither gets the data of the other', async (world) => {
    const seen = [];
    const srf = await world.start(challenger(seen));
    const callers = [
      { callId: 'both@a.example', tag: 'T1', from: 'ann' },
      { callId: 'both@a.example', tag: 'T2', from: 'ben' }
    ];
    for (const caller of callers) assert.equal((await world.dial(srf, caller).final).status, 407);
    const calls = [];
    for (const caller of callers) calls.push(await world.call(srf, withCredentials(caller)));
    for (const [number, { from }] of callers.entries()) {
      const { owner = from } = seen[number];
      assert.equal(owner, from);
      assert.equal((await world.info(calls[number])).owner, from);
    }
    for (const call of calls) await call.bye();
  });

  test('a caller who is challenged, comes again and is refused leaves nothing', async (world) => {
    const seen = [];
    const srf = await world.start((app) =>
      app.invite((req, res) => {
        seen.push({ ...req.session });
        req.session.owner = 'ann';
        return req.has('Proxy-Authorization') ? res.send(403) : res.send(407, CHALLENGE);
      })
    );
    const caller = { callId: 'refused@a.example', tag: 'T1' };
    assert.equal((await world.dial(srf, caller).final).status, 407);
    assert.equal((await world.dial(srf, withCredentials(caller)).final).status, 403);
    assert.deepEqual(seen, [{}, { owner: 'ann' }]);
  });
});
