'use strict';
// Session.loadFromStorage({store}, {callId, fromTag, toTag}): the session of the dialog that a message names by its tags, as
// Replaces (RFC 3891) and Join (RFC 3911) do.

const assert = require('node:assert/strict');
const session = require('../..');
const { b2bua, keepsCallId, plain, uas } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');

const { Session } = session;

// The data of the dialog with these tags, in either direction of the message; undefined if there is none.
async function lookUp(store, callId, one, other) {
  const found = [];
  for (const [fromTag, toTag] of [
    [one, other],
    [other, one]
  ]) {
    const mks = await Session.loadFromStorage({ store }, { callId, fromTag, toTag });
    found.push(mks === null ? null : { ...mks.session });
  }
  assert.deepEqual(found[0], found[1], 'the direction does not matter');
  return found[0];
}

inEachWorld((test) => {
  for (const [where, elsewhere, needs] of [
    ['in this process', false, []],
    ['in another process', true, ['processes']]
  ]) {
    for (const [answered, answer] of [
      ['with Dialogs', uas],
      ['by res.send(200)', plain]
    ]) {
      test(
        `two calls with one Call-ID, answered ${answered}, are found ${where} by their tags`,
        needs,
        async (world) => {
          const srf = await world.start(answer);
          const ids = { callId: 'one@a.example' };
          const ann = await world.call(srf, { ...ids, tag: 'T1', from: 'ann' });
          const ben = await world.call(srf, { ...ids, tag: 'T2', from: 'ben' });
          const store = elsewhere ? await world.store() : srf.store;
          const find = (call) => lookUp(store, call.callId, call.localTag, call.remoteTag);
          assert.deepEqual(await find(ann), { owner: 'ann' });
          assert.deepEqual(await find(ben), { owner: 'ben' });
          assert.equal(await lookUp(store, ids.callId, 'unknown', 'tags'), null);
          assert.equal(await lookUp(store, 'another@a.example', 'T1', ann.remoteTag), null);
          await ann.bye();
          assert.equal(await lookUp(elsewhere ? await world.store() : store, ann.callId, 'T1', ann.remoteTag), null);
          assert.deepEqual(await find(ben), { owner: 'ben' });
          await ben.bye();
          assert.equal(await lookUp(elsewhere ? await world.store() : store, ben.callId, 'T2', ben.remoteTag), null);
        }
      );
    }

    test(`both legs of a B2BUA are found ${where}`, needs, async (world) => {
      const srf = await world.start(b2bua());
      const call = await world.connect(srf, { from: 'ann' });
      const store = elsewhere ? await world.store() : srf.store;
      for (const { callId, localTag, remoteTag } of [call, call.callee]) {
        assert.deepEqual(await lookUp(store, callId, localTag, remoteTag), { owner: 'ann' });
        assert.equal(await lookUp(store, callId, 'unknown', 'tags'), null);
      }
      await call.bye();
      await call.callee.received('BYE');
    });

    test(`both legs of a B2BUA that keeps the Call-ID are found ${where}`, needs, async (world) => {
      const srf = await world.start(b2bua({ options: keepsCallId, stays: true }));
      const call = await world.connect(srf, { from: 'ann' });
      const store = elsewhere ? await world.store() : srf.store;
      const find = ({ callId, localTag, remoteTag }) => lookUp(store, callId, localTag, remoteTag);
      assert.deepEqual(await find(call), { owner: 'ann' });
      assert.deepEqual(await find(call.callee), { owner: 'ann' });
      await call.bye();
      assert.deepEqual(await find(call.callee), { owner: 'ann' });
      await call.callee.bye();
    });

    test(
      `a key that the application has added is found ${where} by its id, whatever the tags`,
      needs,
      async (world) => {
        const srf = await world.start(uas);
        const call = await world.call(srf, { from: 'ann' });
        call.dialog.mks.set('room@a.example');
        await call.dialog.session.save();
        const store = elsewhere ? await world.store() : srf.store;
        assert.deepEqual(await lookUp(store, 'room@a.example', 'any', 'tags'), { owner: 'ann' });
        await call.dialog.mks.del('room@a.example');
        await call.bye();
      }
    );
  }

  test('what is found in this process is the session of the Dialog', async (world) => {
    const srf = await world.start(uas);
    const call = await world.call(srf, { from: 'ann' });
    const ids = { callId: call.callId, fromTag: call.localTag, toTag: call.remoteTag };
    const mks = await Session.loadFromStorage({ store: srf.store }, ids);
    assert.equal(mks.session, call.dialog.session);
    await call.bye();
  });

  test('with a callback', async (world) => {
    const srf = await world.start(uas);
    const call = await world.call(srf, { from: 'ann' });
    const find = (ids) =>
      new Promise((resolve, reject) => {
        Session.loadFromStorage({ store: srf.store }, ids, (err, mks) => (err ? reject(err) : resolve(mks)));
      });
    const ids = { callId: call.callId, fromTag: call.localTag, toTag: call.remoteTag };
    assert.deepEqual({ ...(await find(ids)).session }, { owner: 'ann' });
    assert.equal(await find({ ...ids, fromTag: 'unknown', toTag: 'tags' }), null);
    await call.bye();
  });

  test('arguments that are not the ids of a dialog are refused', async (world) => {
    const store = await world.store();
    const refused = [
      {},
      { fromTag: 'T1', toTag: 'T2' },
      { callId: '', fromTag: 'T1', toTag: 'T2' },
      { callId: 7, fromTag: 'T1', toTag: 'T2' },
      { callId: 'one@a.example', fromTag: 1, toTag: 'T2' },
      { callId: 'one@a.example', fromTag: 'T1', toTag: {} },
      null,
      undefined,
      7
    ];
    for (const ids of refused) {
      await assert.rejects(Session.loadFromStorage({ store }, ids), { code: 'ERR_SESSION_ARGUMENT' });
    }
  });
});
