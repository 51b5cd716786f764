'use strict';
// The examples for drachtio-srf, as they are in examples/, against the scripted server.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const session = require('../..');
const b2bua = require('../../examples/srf-b2bua');
const { SDP } = require('../../examples/drachtio-server');
const recording = require('../../examples/srf-recording');
const uas = require('../../examples/srf-uas');
const { onEachRelease } = require('../support/srf/bench');

// An application of an example, connected.
function started(bench, example) {
  const srf = bench.plain();
  example(srf, session, bench.first);
  return bench.connect(srf);
}

// A call that the example has connected -> {call, callee, uas}; it emits this event with its dialogs.
async function connectedCall(bench, srf, event, opts) {
  const call = bench.server.call(opts);
  const [callee, [dialog]] = await Promise.all([bench.server.callee(), once(srf, event), call.answered]);
  await once(dialog, 'ack');
  return { call, callee, dialog };
}

onEachRelease((test) => {
  test('examples/srf-uas.js: who called, since when, and which digits', async (bench) => {
    const srf = await started(bench, uas);
    const call = bench.server.call({ from: 'jack' });
    await call.answered;
    for (const digit of ['4', '2']) assert.equal((await call.info(digit)).status, 200);
    const ended = once(srf, 'call ended');
    assert.equal((await call.bye()).status, 200);
    const [{ caller, since, digits }] = await ended;
    assert.deepEqual([caller, digits], ['jack', '42']);
    assert.ok(since instanceof Date);
    await bench.becomesEmpty();
  });

  for (const [name, example] of Object.entries({ b2bua, recording })) {
    test(`examples/srf-${name}.js: the caller gives up`, async (bench) => {
      bench.server.onInvite((callee) => callee.respond(180));
      const srf = await started(bench, example);
      const failed = once(srf, 'call failed');
      const call = bench.server.call();
      await call.response(180);
      assert.equal((await call.cancel()).status, 487);
      assert.deepEqual(await failed, [487]);
      await bench.becomesEmpty();
    });
  }

  for (const first of ['call', 'callee']) {
    test(`examples/srf-b2bua.js: the ${first === 'call' ? 'caller' : 'callee'} hangs up`, async (bench) => {
      const srf = await started(bench, b2bua);
      const legs = await connectedCall(bench, srf, 'call answered', { from: 'jack' });
      await legs.callee.info('4');
      await legs.call.info('2');
      const ended = once(srf, 'call ended');
      await legs[first].bye();
      assert.deepEqual(await ended, [{ caller: 'jack', digits: '42' }]);
      await bench.becomesEmpty();
    });
  }

  for (const [name, example] of Object.entries({ b2bua, recording })) {
    test(`examples/srf-${name}.js: the callee is busy`, async (bench) => {
      bench.server.onInvite((callee) => callee.respond(486));
      const srf = await started(bench, example);
      const failed = once(srf, 'call failed');
      assert.equal((await bench.server.call().final).status, 486);
      assert.deepEqual(await failed, [486]);
      await bench.becomesEmpty();
    });
  }

  test('examples/srf-uas.js: a call that can not be answered', async (bench) => {
    const srf = await started(bench, uas);
    srf.createUAS = () => Promise.reject(new Error('refused on purpose'));
    const failed = once(srf, 'call failed');
    const call = bench.server.call();
    const [err] = await failed;
    assert.match(err.message, /on purpose/);
    assert.equal((await call.cancel()).status, 487);
    await bench.becomesEmpty();
  });

  test('examples/srf-recording.js: the other party refuses a re-INVITE, a target is busy', async (bench) => {
    const srf = await started(bench, recording);
    const { call, callee, dialog } = await connectedCall(bench, srf, 'recording', { from: 'jack' });
    callee.onRequest((leg, { method }) => (method === 'INVITE' ? 488 : 200));
    assert.equal((await call.reinvite(SDP('caller').replace('caller 1 1', 'caller 1 2'))).status, 488);
    bench.server.onInvite((leg) => leg.respond(486));
    const failed = once(srf, 'transfer failed');
    const refer = await callee.request('REFER', { headers: { 'Refer-To': '<sip:carol@c.example>' } });
    assert.equal(refer.status, 202);
    const [target, err] = await failed;
    assert.deepEqual([target, err.status], ['sip:carol@c.example', 486]);
    assert.deepEqual(dialog.session.recording, { state: 'on', segments: 1, parties: ['jack'] });
    const recorded = once(srf, 'recorded');
    await call.bye();
    await recorded;
    await callee.received('BYE');
    await bench.becomesEmpty();
  });

  test('examples/srf-recording.js: hold, resume, a transfer', async (bench) => {
    const srf = await started(bench, recording);
    const { call, callee, dialog } = await connectedCall(bench, srf, 'recording', { from: 'jack' });
    const { mks } = dialog;
    const stored = async () => (await bench.storedOf(mks)).recording;
    assert.deepEqual(await stored(), { state: 'on', segments: 1, parties: ['jack'] });

    const hold = SDP('caller').replace('caller 1 1', 'caller 1 2').replace('sendrecv', 'sendonly');
    assert.equal((await call.reinvite(hold)).status, 200);
    assert.equal((await callee.received('INVITE')).body, hold);
    assert.equal((await stored()).state, 'paused');
    assert.equal((await call.reinvite(SDP('caller').replace('caller 1 1', 'caller 1 3'))).status, 200);
    assert.deepEqual(await stored(), { state: 'on', segments: 2, parties: ['jack'] });

    // the callee is transferred to carol
    const transferred = once(srf, 'transferred');
    const reached = bench.server.callee();
    const refer = await callee.request('REFER', { headers: { 'Refer-To': '<sip:carol@c.example>' } });
    assert.equal(refer.status, 202);
    const carol = await reached;
    const [, third] = await transferred;
    assert.equal(carol.uri, 'sip:carol@c.example');
    assert.equal(third.session, dialog.session);
    await callee.received('BYE');

    const recorded = once(srf, 'recorded');
    await carol.bye();
    assert.deepEqual(await recorded, [{ state: 'on', segments: 3, parties: ['jack', 'sip:carol@c.example'] }]);
    await call.received('BYE');
    await bench.becomesEmpty();
  });
});
