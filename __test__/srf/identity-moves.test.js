'use strict';
// drachtio-srf: a live Dialog moves to another session, with its key: bridging a waiting caller with an agent, attended
// transfer. `dialog.session = other.session` does so, and `await other.mks.adopt(dialog)` when it is stored.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const session = require('../..');
const { b2bua, uas } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');
const { until } = require('../support/waiting');

const ANN = { callId: 'ann@a.example', tag: 'T1', from: 'ann' };
const BEN = { callId: 'ben@a.example', tag: 'T2', from: 'ben' };
const ANNS = { owner: 'ann' };

const MOVES = {
  'dialog.session = other.session': (other, dialog) => {
    dialog.session = other.session;
  },
  'await other.mks.adopt(dialog)': (other, dialog) => other.mks.adopt(dialog)
};

// A Dialog has the session of another.
function assertSame(dialog, other) {
  assert.equal(dialog.session, other.session);
  assert.equal(dialog.mks, other.mks);
}

inEachWorld((test) => {
  for (const [how, move] of Object.entries(MOVES)) {
    const both = async (world) => {
      const srf = await world.start(uas);
      const [ann, ben] = [await world.call(srf, ANN), await world.call(srf, BEN)];
      return { ann, ben, before: ben.dialog.mks, srf };
    };
    const moved = async (world, from, to) => {
      await move(to, from);
      assertSame(from, to);
      world.belongs(from, 'ann');
    };

    test(`${how}: two callers who are bridged have one session`, async (world) => {
      const { ann, ben, before } = await both(world);
      await moved(world, ben.dialog, ann.dialog);
      assert.notEqual(before, ann.dialog.mks);
      assert.deepEqual(await world.info(ben), ANNS);
      ann.dialog.session.bridged = true;
      await ann.dialog.session.save();
      assert.deepEqual(await world.info(ben), { ...ANNS, bridged: true });
      await world.becomes(BEN.callId, { ...ANNS, bridged: true });
      await until(() => before.removed, 'the session that has lost its last key to end');
      await world.hasKeys(2);
      assert.equal(ann.dialog.mks.keyCount, 2);
      await ann.bye();
      assert.deepEqual(await world.info(ben), { ...ANNS, bridged: true });
      assert.deepEqual(await world.stored(BEN.callId), { ...ANNS, bridged: true });
      await ben.bye();
      assert.equal(world.ended.length, 2);
    });

    test(`${how}: the one who moved hangs up first`, async (world) => {
      const { ann, ben } = await both(world);
      await moved(world, ben.dialog, ann.dialog);
      await ben.bye();
      assert.deepEqual(await world.info(ann), ANNS);
      assert.deepEqual(await world.stored(ANN.callId), ANNS);
      await ann.bye();
    });

    test(`${how}, and both hang up at once`, async (world) => {
      const { ann, ben } = await both(world);
      await moved(world, ben.dialog, ann.dialog);
      await Promise.all([ann.bye(), ben.bye()]);
    });

    test(`${how} of two calls with one Call-ID`, async (world) => {
      const srf = await world.start(uas);
      const ann = await world.call(srf, { ...ANN, callId: 'one@a.example' });
      const ben = await world.call(srf, { ...BEN, callId: 'one@a.example' });
      await moved(world, ben.dialog, ann.dialog);
      assert.deepEqual(await world.info(ben), ANNS);
      await ann.bye();
      assert.deepEqual(await world.info(ben), ANNS);
      await ben.bye();
    });

    test(`${how} in the handler of a request of the Dialog: the request has the new session`, async (world) => {
      const { ann, ben } = await both(world);
      const seen = [];
      const { dialog } = ben;
      dialog.removeAllListeners('info');
      dialog.on('info', async (req, res) => {
        await moved(world, dialog, ann.dialog);
        seen.push(req.session === ann.dialog.session, req.mks === ann.dialog.mks, dialog.session === req.session);
        req.session.digits = req.body;
        res.send(200);
      });
      assert.equal((await ben.info('7')).status, 200);
      assert.deepEqual(seen, [true, true, true]);
      assert.deepEqual({ ...ann.dialog.session }, { ...ANNS, digits: '7' });
      await world.becomes(BEN.callId, { ...ANNS, digits: '7' });
      await world.becomes(ANN.callId, { ...ANNS, digits: '7' });
      await ann.bye();
      await ben.bye();
    });

    test(`${how}: the INVITE of the Dialog has the new session too`, async (world) => {
      const { ann, ben } = await both(world);
      await moved(world, ben.dialog, ann.dialog);
      assert.equal(ben.dialog.req.session, ann.dialog.session);
      assert.equal(ben.dialog.req.mks, ann.dialog.mks);
      await ben.bye();
      await ann.bye();
    });

    test(`${how}: an attended transfer of a caller from one B2BUA call to another`, async (world) => {
      // the agent talks to ben, then to ann about him; ben is connected with ann
      const srf = await world.start(b2bua({ stays: true }));
      const consulted = await world.connect(srf, ANN);
      const held = await world.connect(srf, BEN);
      const before = held.dialog.mks;
      await moved(world, held.dialog, consulted.dialog);
      assert.equal(before.removed, false, "the agent's leg still has the session");
      assert.deepEqual(await world.info(held.callee), { owner: 'ben' });
      assert.deepEqual(await world.info(held), ANNS);
      // the agent leaves both calls
      await held.callee.bye();
      await consulted.callee.bye();
      await until(() => before.removed, 'the session of the held call to end');
      assert.deepEqual(await world.info(held), ANNS);
      assert.deepEqual(await world.info(consulted), ANNS);
      await world.hasKeys(2);
      await held.bye();
      await consulted.bye();
    });

    test(`${how}: a Dialog moves there and back`, async (world) => {
      const { ann, ben, srf } = await both(world);
      await moved(world, ben.dialog, ann.dialog);
      const own = new session.Session({ store: srf.store });
      own.session = { owner: 'ben' };
      await move({ mks: own, session: own.session }, ben.dialog);
      await until(() => ben.dialog.mks === own, 'the move after the first one');
      world.belongs(ben.dialog, 'ben');
      assert.deepEqual(await world.info(ben), { owner: 'ben' });
      assert.deepEqual(await world.info(ann), ANNS);
      await ann.bye();
      await world.becomes(BEN.callId, { owner: 'ben' });
      await ben.bye();
    });

    test(`${how}: the session was loaded by its key in another process`, ['claims'], async (world) => {
      const [one, other] = [await world.start(uas), await world.start(uas)];
      const [ann, ben] = [await world.call(one, ANN), await world.call(other, BEN)];
      const before = ben.dialog.mks;
      const mks = await session.Session.loadFromStorage({ store: other.store }, ANN.callId);
      await move({ mks, session: mks.session }, ben.dialog);
      world.belongs(ben.dialog, 'ann');
      assert.equal(ben.dialog.session, mks.session);
      assert.deepEqual(await world.info(ben), ANNS);
      await world.becomes(BEN.callId, ANNS);
      await until(() => before.removed, 'the session that has lost its last key to end');
      // what one of them changes, the other gets with its next request
      ben.dialog.session.bridged = true;
      await ben.dialog.session.save();
      await until(async () => (await world.info(ann)).bridged, 'the change to reach the other process');
      await ann.bye();
      assert.deepEqual(await world.info(ben), { ...ANNS, bridged: true });
      await world.hasKeys(1);
      await ben.bye();
    });

    test(`${how}: after it the process dies, and another hangs up`, ['claims'], async (world) => {
      const { ann, ben, srf } = await both(world);
      await moved(world, ben.dialog, ann.dialog);
      await world.becomes(BEN.callId, ANNS);
      await world.kill(srf);
      const other = await world.start((app) => world.handleInStack(app, ['bye']));
      for (const { dialog } of [ann, ben]) {
        const bye = await other.request('sip:placeholder', { method: 'BYE', stackDialogId: dialog.id });
        await once(bye, 'response');
        await world.hasKeys(dialog === ann.dialog ? 1 : 0);
      }
    });
  }

  test('dialog.session = an object of the application replaces the content, not the session', async (world) => {
    const srf = await world.start(uas);
    const call = await world.call(srf, ANN);
    const { mks } = call.dialog;
    call.dialog.session = { owner: 'ann', replaced: true };
    assert.equal(call.dialog.mks, mks);
    assert.deepEqual(await world.info(call), { owner: 'ann', replaced: true });
    assert.deepEqual(await world.stored(ANN.callId), { owner: 'ann', replaced: true });
    await call.bye();
  });

  test('dialog.session = dialog.session, and adopt() of a Dialog that the session has, change nothing', async (world) => {
    const srf = await world.start(uas);
    const call = await world.call(srf, ANN);
    const { dialog } = call;
    const { mks } = dialog;
    Object.assign(dialog, { session: dialog.session });
    await mks.adopt(dialog);
    assert.equal(dialog.mks, mks);
    assert.deepEqual(await world.info(call), ANNS);
    await world.hasKeys(1);
    await call.bye();
  });
});
