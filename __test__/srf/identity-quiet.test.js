'use strict';
// drachtio-srf: a Dialog that lives keeps its session from expiring, however long nothing is said; and nothing else does.

const assert = require('node:assert/strict');
const { b2bua, keepsCallId, plain, uas } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');
const { until } = require('../support/waiting');

const MINE = { owner: 'ann' };
const TTL = { ttl: 1 }; // s
const QUIET_MS = 1700;

inEachWorld((test) => {
  test('a quiet call longer than the TTL: its session stays while its Dialog lives', ['ttl'], TTL, async (world) => {
    const srf = await world.start(uas);
    const call = await world.call(srf, { from: 'ann' });
    await world.during(QUIET_MS, async () => assert.deepEqual(await world.stored(call.callId), MINE));
    assert.deepEqual(await world.info(call), MINE);
    assert.equal(call.dialog.mks.removed, false);
    await call.bye();
    assert.deepEqual(world.ended, [MINE]);
  });

  for (const [which, options] of [
    ['', undefined],
    [' that keeps the Call-ID', { options: keepsCallId }]
  ]) {
    test(
      `a quiet call of a B2BUA${which}, longer than the TTL: both legs find the session`,
      ['ttl'],
      TTL,
      async (world) => {
        const srf = await world.start(b2bua({ ...options, stays: true }));
        const call = await world.connect(srf, { from: 'ann' });
        const ids = await world.hasKeys(2);
        await world.during(QUIET_MS, async () => {
          for (const id of ids) assert.deepEqual(await world.stored(id), MINE);
        });
        assert.deepEqual(await world.info(call), MINE);
        assert.deepEqual(await world.info(call.callee), MINE);
        // and one leg alone
        await call.bye();
        const [id] = await world.hasKeys(1);
        await world.during(QUIET_MS, async () => assert.deepEqual(await world.stored(id), MINE));
        assert.deepEqual(await world.info(call.callee), MINE);
        await call.callee.bye();
      }
    );
  }

  test('a quiet call: another process finds its session after the TTL', ['ttl', 'processes'], TTL, async (world) => {
    const one = await world.start(uas);
    const call = await world.call(one, { from: 'ann' });
    await world.during(QUIET_MS, () => undefined);
    await world.start((app) => world.handleInStack(app, ['info', 'bye']));
    await world.kill(one);
    world.server.restart();
    await world.server.routed(['info', 'bye']);
    assert.deepEqual(await world.info(call), MINE);
    await call.bye();
  });

  test('a process that dies renews nothing: its sessions expire', ['ttl', 'processes'], TTL, async (world) => {
    const srf = await world.start(uas);
    const call = await world.call(srf, { from: 'ann' });
    assert.deepEqual(await world.stored(call.callId), MINE);
    await srf.store.close();
    await world.kill(srf);
    await until(async () => (await world.stored(call.callId)) === undefined, 'the session to expire');
  });

  test('a call without a Dialog expires', ['ttl'], TTL, async (world) => {
    const srf = await world.start(plain);
    const call = await world.call(srf, { from: 'ann' });
    assert.deepEqual(await world.stored(call.callId), MINE);
    await until(async () => (await world.stored(call.callId)) === undefined, 'the session to expire');
  });
});
