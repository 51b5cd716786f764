'use strict';
// The two examples of the README, as they are in examples/.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const path = require('node:path');
const { describe, it } = require('node:test');
const b2bua = require('../../examples/b2bua');
const session = require('../..');
const uas = require('../../examples/uas');
const { onEachStore } = require('../support/contract/bench');

onEachStore((test) => {
  test('examples/uas.js: the user is there at the BYE, and nothing is left', async (bench) => {
    const app = bench.bare();
    uas(app, session, bench.first);
    const call = app.peer.invite({ callId: 'call@example' });
    const final = await call.final();
    assert.equal(final.statusCode, 200);
    assert.match(final.body, /^v=0/);
    await call.ack();
    assert.deepEqual(await bench.stored('call@example'), { user: 'jack jones' });
    assert.equal((await call.bye()).statusCode, 200);
    await bench.assertEmpty();
  });

  for (const who of ['A', 'B']) {
    test(`examples/b2bua.js: leg ${who} hangs up, the other leg is hung up, and nothing is left`, async (bench) => {
      const app = bench.bare();
      b2bua(app, session, bench.first);
      let legB;
      app.peer.onInvite((uac) => {
        legB = uac;
        uac.respond(200, { body: 'v=0 (callee)' });
      });
      const legA = app.peer.invite({ callId: 'leg-a', body: 'v=0 (caller)' });
      const final = await legA.final();
      assert.deepEqual([final.statusCode, final.body, legB.body], [200, 'v=0 (callee)', 'v=0 (caller)']);
      await legB.received('ACK');
      await legA.ack();
      for (const id of ['leg-a', legB.callId]) {
        assert.deepEqual(await bench.stored(id), { uasCallId: 'leg-a', uacCallId: legB.callId });
      }
      const [one, other] = who === 'A' ? [legA, legB] : [legB, legA];
      assert.equal((await one.bye()).statusCode, 200);
      const bye = await other.received('BYE');
      await bye.answered;
      assert.equal(bye.headers['call-id'], other.callId);
      await bench.assertEmpty();
    });
  }

  test('examples/b2bua.js: leg B is busy, leg A hears so, and nothing is left', async (bench) => {
    const app = bench.bare();
    b2bua(app, session, bench.first);
    app.peer.onInvite((uac) => uac.respond(486));
    assert.equal((await app.peer.invite().final()).statusCode, 486);
    await bench.becomesEmpty();
  });
});

describe('npm run demo', () => {
  for (const args of [[], ['--redis']]) {
    it(`examples/demo.js ${args.join(' ')}`, () => {
      const demo = path.join(__dirname, '../../examples/demo.js');
      const { status, stdout, stderr } = spawnSync(process.execPath, [demo, ...args], { encoding: 'utf8' });
      assert.deepEqual([status, stderr], [0, '']);
      assert.match(stdout, /Nothing is left/);
    });
  }
});
