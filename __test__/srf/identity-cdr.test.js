'use strict';
// drachtio-srf: session.cdr() removes after a pause what a dead process has left. What it removes is the session of the call
// that has ended, not what has the name of its key by then.

const assert = require('node:assert/strict');
const session = require('../..');
const { uas } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');

const AFTER = 150; // ms
// until the pause of a record is certainly over
const PAUSE = 3 * AFTER;

const recording = (srf, world) => {
  uas(srf, world);
  session.cdr(srf, { after: AFTER });
};

inEachWorld((test) => {
  for (const [which, tag] of [
    ['the same From tag', 'T1'],
    ['another From tag', 'T2']
  ]) {
    // the first and the second call are in these processes
    for (const [where, first, second, needs] of [
      ['the same process', 0, 0, []],
      ['another process', 0, 1, ['claims']],
      ['the process that got the record', 1, 0, ['claims']]
    ]) {
      test(`a call with the Call-ID of one that has just ended, ${which}, in ${where}`, needs, async (world) => {
        const processes = [];
        for (let count = 0; count <= Math.max(first, second); count++) processes.push(await world.start(recording));
        const ids = { callId: 'redial@a.example' };
        const ann = await world.call(processes[first], { ...ids, tag: 'T1', from: 'ann' });
        await ann.bye();
        const ben = await world.call(processes[second], { ...ids, tag, from: 'ben' });
        assert.deepEqual(await world.info(ben), { owner: 'ben' });
        await world.during(PAUSE, async () => {
          assert.deepEqual(await world.stored(ids.callId), { owner: 'ben' });
          assert.equal(ben.dialog.mks.removed, false);
        });
        assert.deepEqual(await world.info(ben), { owner: 'ben' });
        await ben.bye();
        assert.deepEqual(world.ended, [{ owner: 'ann' }, { owner: 'ben' }]);
      });
    }
  }

  for (const [order, dies, lives] of [
    ['that began before', 'T1', 'T2'],
    ['that began later', 'T2', 'T1']
  ]) {
    test(
      `cdr:stop of a call ${order} and whose process died leaves the other call with its Call-ID`,
      ['claims'],
      async (world) => {
        const processes = { [dies]: await world.start(uas), [lives]: await world.start(recording) };
        const calls = {};
        for (const [tag, from] of [
          ['T1', 'ann'],
          ['T2', 'ben']
        ]) {
          calls[tag] = await world.call(processes[tag], { callId: 'same@a.example', tag, from });
        }
        await world.kill(processes[dies]);
        assert.equal((await calls[dies].bye()).status, 481);
        const [id] = await world.hasKeys(1);
        const { owner } = await world.info(calls[lives]);
        assert.equal(owner, calls[lives].user);
        assert.deepEqual(await world.stored(id), { owner });
        await calls[lives].bye();
        assert.deepEqual(world.ended, [{ owner }]);
      }
    );
  }

  test('cdr:stop of both calls with one Call-ID whose process died', ['claims'], async (world) => {
    const one = await world.start(uas);
    const calls = [];
    for (const [tag, from] of [
      ['T1', 'ann'],
      ['T2', 'ben'],
      ['T3', 'cid']
    ]) {
      calls.push(await world.call(one, { callId: 'same@a.example', tag, from }));
    }
    await world.start(recording);
    await world.kill(one);
    for (const call of [calls[1], calls[0], calls[2]]) assert.equal((await call.bye()).status, 481);
    await world.becomesEmpty();
  });
});
