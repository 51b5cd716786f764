'use strict';
// Whatever becomes of Redis: each request gets its handler and exactly one final response within the deadline, and what
// was written or removed meanwhile is there, or gone, when Redis is well again.

const assert = require('node:assert/strict');
const test = require('node:test');
const { FAULTS, begin } = require('./support/faults');
const { faultBench } = require('./support/fault-bench');
const { within } = require('./support/tools');

// ms that a message may wait; twice that, when it is loaded and saved. What a connection may take by itself is far more.
const TIMEOUT = 400;
const LATE = 2 * TIMEOUT + 3000;
const storeOptions = { commandTimeout: 60000, connectTimeout: 60000 };

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
    bench.seen.length = bench.app.sent.length = bench.store.errors.length = 0;

    const outage = await begin(name, bench);
    const took = await everything({ app: bench.app, ...bound }, calls);
    // a call is four messages one after the other
    assert.ok(took < 3 * LATE, `all were answered, after ${took} ms`);
    assert.deepEqual(bench.failures, [], 'no handler threw, no response was refused');
    assert.deepEqual(bench.app.refused, []);
    assert.deepEqual(bench.finals(), [
      'BYE begun and ended 200', 'BYE ended 200', 'CANCEL canceled 200', 'INFO begun and used 200', 'INFO used 200',
      'INVITE begun 200', 'INVITE begun and ended 200', 'INVITE begun and used 200', 'INVITE canceled 487',
      'OPTIONS options 200', 'REGISTER register 200'
    ]); // prettier-ignore
    const handled = bench.seen.map(({ method, id }) => `${method} ${id}`).toSorted();
    assert.deepEqual(handled, [
      'ACK acked', 'ACK begun', 'ACK begun and ended', 'ACK begun and used', 'BYE begun and ended', 'BYE ended',
      'CANCEL canceled', 'INFO begun and used', 'INFO used', 'INVITE begun', 'INVITE begun and ended',
      'INVITE begun and used', 'INVITE canceled', 'OPTIONS options', 'REGISTER register'
    ]); // prettier-ignore

    // a session that this process has begun is found by it, whatever the store does; one that was stored may be out of
    // reach again
    const [own] = bench.saw('INFO', 'begun and used');
    const found = own.data.callId === 'begun and used';
    assert.equal(own.degraded, !found);
    if (fault.saves !== undefined) assert.ok(found, 'the session that has begun meanwhile');
    const [loaded] = bench.saw('INFO', 'used');
    const known = JSON.stringify(loaded.data) === '{"callId":"used"}';
    assert.equal(loaded.degraded, !known, 'either it is there, or it is said that it could not be had');
    if (fault.loads !== undefined) assert.equal(known, fault.loads, 'the session of before is there');
    if (fault.loads === false || fault.saves === false) assert.ok(bench.store.errors.length > 0, 'somebody was told');

    await outage.mend();
    const left = ['acked', 'begun', 'begun and used', 'used'];
    await bench.become(left);
    await bench.store.close();
    await bench.become(left);
    if (found) assert.deepEqual(await bench.stored('begun and used'), { callId: 'begun and used', digits: '12' });
    if (known) assert.deepEqual(await bench.stored('used'), { callId: 'used', digits: '34' });
    assert.ok(!bench.codes().includes('ERR_SESSION_GIVEN_UP'), 'nothing was given up');
  });
}
