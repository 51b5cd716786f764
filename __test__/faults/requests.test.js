'use strict';
// Whatever becomes of Redis: each request gets its handler and exactly one final response within the deadline, and what
// was written or removed meanwhile is there, or gone, when Redis is well again. And which responses wait for Redis.

const assert = require('node:assert/strict');
const test = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { FAULTS, begin } = require('../support/faults/faults');
const { faultBench } = require('../support/faults/bench');
const { scaled } = require('../support/machine');
const { load, save } = require('../support/sessions');
const { within } = require('../support/waiting');

// ms that a message may wait, on an idle machine. What a connection may take by itself is far more.
const TIMEOUT = 400;
const storeOptions = { commandTimeout: 60000, connectTimeout: 60000 };

// in a dialog that another process has begun
const ELSEWHERE = { callId: 'elsewhere', toTag: 't', headers: { 'x-set': '{"digits":"56"}' } };

// Every kind of request at the same time. -> what it took until all were answered, ms
async function everything({ app, call, bye, info }, calls) {
  const begun = Date.now();
  const pending = app.peer.invite({ callId: 'canceled', headers: { 'x-wait': '1' } });
  const ended = await Promise.all([
    call('begun'),
    (async () => bye(await call('begun and ended')))(),
    (async () => {
      const both = await call('begun and used');
      await info(both, { digits: '12' });
    })(),
    info(calls.used, { digits: '34' }),
    within(app.peer.request('INFO', ELSEWHERE), 'the answer to INFO elsewhere'),
    bye(calls.ended),
    within(calls.acked.ack(), 'an ACK'),
    within(app.peer.request('OPTIONS', { callId: 'options' }), 'the answer to OPTIONS'),
    within(app.peer.request('REGISTER', { callId: 'register' }), 'the answer to REGISTER'),
    within(pending.cancel(), 'the answer to CANCEL')
  ]);
  assert.ok(ended);
  return Date.now() - begun;
}

for (const [name, fault] of Object.entries(FAULTS)) {
  test(name, async (t) => {
    const bench = await faultBench(t, { storeOptions, timeout: TIMEOUT });
    const bound = Object.fromEntries(['call', 'bye', 'info'].map((each) => [each, bench[each].bind(bench)]));
    const calls = {
      used: await bench.call('used'),
      ended: await bench.call('ended'),
      acked: await bench.call('acked')
    };
    await save(bench.other, 'elsewhere', { callId: 'elsewhere' });
    bench.seen.length = bench.app.sent.length = bench.store.errors.length = 0;

    const outage = await begin(name, bench);
    const took = await everything({ app: bench.app, ...bound }, calls);
    // a message that is loaded and saved may wait twice; a call is four messages one after the other
    const late = 2 * bench.timeout + scaled(3000);
    assert.ok(took < 3 * late, `all were answered, after ${took} ms`);
    assert.deepEqual(bench.failures, [], 'no handler threw, no response was refused');
    assert.deepEqual(bench.app.refused, []);
    assert.deepEqual(bench.finals(), [
      'BYE begun and ended 200', 'BYE ended 200', 'CANCEL canceled 200', 'INFO begun and used 200', 'INFO elsewhere 200', 'INFO used 200',
      'INVITE begun 200', 'INVITE begun and ended 200', 'INVITE begun and used 200', 'INVITE canceled 487',
      'OPTIONS options 200', 'REGISTER register 200'
    ]); // prettier-ignore
    const handled = bench.seen.map(({ method, id }) => `${method} ${id}`).toSorted();
    assert.deepEqual(handled, [
      'ACK acked', 'ACK begun', 'ACK begun and ended', 'ACK begun and used', 'BYE begun and ended', 'BYE ended',
      'CANCEL canceled', 'INFO begun and used', 'INFO elsewhere', 'INFO used', 'INVITE begun', 'INVITE begun and ended',
      'INVITE begun and used', 'INVITE canceled', 'OPTIONS options', 'REGISTER register'
    ]); // prettier-ignore

    // a session that this process has begun is found by it, whatever the store does
    const [own] = bench.saw('INFO', 'begun and used');
    assert.deepEqual(own.data, { callId: 'begun and used' });
    const [loaded] = bench.saw('INFO', 'elsewhere');
    const known = JSON.stringify(loaded.data) === '{"callId":"elsewhere"}';
    assert.equal(loaded.degraded, !known, 'either it is there, or it is said that it could not be had');
    if (fault.loads !== undefined) assert.equal(known, fault.loads, 'the session of another process is there');
    // one that was used here a moment ago is there, but others may have changed it
    const [used] = bench.saw('INFO', 'used');
    assert.deepEqual(used.data, { callId: 'used' });
    if (fault.loads !== undefined) assert.equal(used.degraded, !fault.loads, 'whether the store was asked');
    if (fault.loads === false || fault.saves === false)
      assert.ok(bench.store.errors.length > 0, 'there was an error event');

    await outage.mend();
    const left = ['acked', 'begun', 'begun and used', 'elsewhere', 'used'];
    await bench.become(left);
    await bench.store.close();
    await bench.become(left);
    assert.deepEqual(await bench.stored('begun and used'), { callId: 'begun and used', digits: '12' });
    assert.deepEqual(await bench.stored('used'), { callId: 'used', digits: '34' });
    if (known) assert.deepEqual(await bench.stored('elsewhere'), { callId: 'elsewhere', digits: '56' });
    assert.ok(!bench.codes().includes('ERR_SESSION_GIVEN_UP'), 'nothing was given up');
  });
}

// A call of which the process knows all, and Redis, which does what it is told but whose answers don't come.
async function silent(t) {
  const bench = await faultBench(t, { storeOptions: { cache: {}, commandTimeout: 60000 } });
  // Redis knows the scripts
  await bench.bye(await bench.call('before'));
  bench.app.sent.length = 0;
  const call = await bench.call('call');
  return { bench, call };
}

test('who hangs up is answered when Redis has been sent the removal, without its answer', async (t) => {
  const { bench, call } = await silent(t);
  bench.proxy.stall('toClient');
  await bench.bye(call);
  assert.deepEqual(bench.finals(), ['BYE call 200', 'INVITE call 200']);
  await bench.become([]);
  await bench.proxy.mend();
  assert.equal(await load(bench.store, 'call'), null);
  assert.deepEqual(bench.store.errors, []);
});

const CHANGED = { headers: { 'x-set': '{"late":true}' } };
const WAITING = {
  'the session was changed': ({ call }) => call.bye(CHANGED),
  'the session has another key': ({ bench, call }) => {
    bench.mks.set('other');
    return call.bye();
  },
  'a save is on its way': ({ call }) => call.bye({ headers: { 'x-save': 'now', ...CHANGED.headers } })
};

for (const [why, hangUp] of Object.entries(WAITING)) {
  test(`the response to a BYE waits for Redis where ${why}`, async (t) => {
    const { bench, call } = await silent(t);
    bench.mks = await load(bench.store, 'call');
    bench.proxy.stall('toClient');
    const answered = hangUp({ bench, call });
    await sleep(TIMEOUT);
    assert.deepEqual(bench.finals(), ['INVITE call 200'], 'nothing else has left');
    await bench.proxy.mend();
    await within(answered, 'the answers');
    assert.equal(await load(bench.other, 'call'), null);
  });
}
