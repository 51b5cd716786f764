'use strict';
// What the application decides and hears when the store fails: onStoreFailure, the degraded flag, errors, diagnostics.

const assert = require('node:assert/strict');
const test = require('node:test');
const diagnostics = require('node:diagnostics_channel');
const session = require('../..');
const { begin } = require('../support/faults/faults');
const { faultBench } = require('../support/faults/bench');
const { scaled } = require('../support/machine');
const { message } = require('../support/message');
const { openStore, save } = require('../support/sessions');
const { until, within } = require('../support/waiting');

const TIMEOUT = 300;
const AUTHORIZED = { authorization: 'Digest username="jack"' };

// Requests of all kinds that need the store. -> 'METHOD status' of each, and the responses
async function ask(bench, calls) {
  const { app } = bench;
  const asked = {
    invite: app.peer.request('INVITE', { callId: 'invite', headers: AUTHORIZED }),
    subscribe: app.peer.request('SUBSCRIBE', { callId: 'subscribe', headers: AUTHORIZED }),
    register: app.peer.request('REGISTER', { callId: 'register' }),
    options: app.peer.request('OPTIONS', { callId: 'options' }),
    info: calls[0].request('INFO'),
    update: calls[0].request('UPDATE'),
    bye: calls[1].bye()
  };
  const answers = {};
  for (const [name, answer] of Object.entries(asked)) answers[name] = await within(answer, `the answer to ${name}`);
  await within(calls[2].ack(), 'the ACK');
  return answers;
}

const statuses = (answers) => Object.fromEntries(Object.entries(answers).map(([name, { statusCode }]) => [name, statusCode])); // prettier-ignore

async function prepared(t, options) {
  // a near cache would serve what it has while Redis hangs
  const storeOptions = { cache: false };
  const bench = await faultBench(t, { timeout: TIMEOUT, storeOptions, ...options });
  for (const method of ['subscribe', 'update']) bench.app[method]((req, res) => res.send(200));
  const calls = [];
  for (const id of ['one', 'two', 'three']) calls.push(await bench.call(id));
  bench.seen.length = 0;
  return { bench, calls };
}

const all = (status) => ({
  invite: status, subscribe: status, register: status, options: status, info: 200, update: 200, bye: 200
}); // prettier-ignore

for (const fault of ['dead', 'hanging']) {
  test(`${fault}: 'continue', the default: everything reaches its handler, flagged as degraded`, async (t) => {
    // in a dialog that was used here a moment ago the session is as this process knows it; others may have changed it
    const { bench, calls } = await prepared(t);
    await begin(fault, bench);
    assert.deepEqual(statuses(await ask(bench, calls)), all(200));
    const flags = bench.seen.map(({ method, degraded, data }) => [method, degraded, Object.keys(data).length]);
    assert.deepEqual(flags.toSorted(), [
      ['ACK', true, 1], ['BYE', true, 1], ['INFO', true, 1], ['INVITE', true, 0], ['OPTIONS', true, 0], ['REGISTER', true, 0]
    ]); // prettier-ignore
  });

  test(`${fault}: 'reject': what begins something gets 503 with Retry-After, the rest goes through`, async (t) => {
    const { bench, calls } = await prepared(t, { onStoreFailure: 'reject' });
    await begin(fault, bench);
    const answers = await ask(bench, calls);
    assert.deepEqual(statuses(answers), all(503));
    for (const name of ['invite', 'subscribe', 'register', 'options']) {
      const { headers } = answers[name];
      assert.match(String(headers['retry-after']), /^[1-9]\d*$/, name);
    }
    assert.deepEqual(bench.seen.map(({ method }) => method).toSorted(), ['ACK', 'BYE', 'INFO']);
    assert.deepEqual(bench.app.refused, []);
    const finals = bench.finals();
    assert.equal(new Set(finals).size, finals.length, 'one final response each');
  });

  test(`${fault}: a function decides for each request`, async (t) => {
    const asked = [];
    const onStoreFailure = (req, err) => {
      asked.push([req.method, err]);
      return req.method === 'REGISTER' ? 'reject' : 'continue';
    };
    const { bench, calls } = await prepared(t, { onStoreFailure });
    await begin(fault, bench);
    assert.deepEqual(statuses(await ask(bench, calls)), { ...all(200), register: 503 });
    for (const [, err] of asked) {
      assert.ok(err instanceof session.SessionError);
      assert.ok(['ERR_SESSION_TIMEOUT', 'ERR_SESSION_STORE_UNAVAILABLE'].includes(err.code), err.code);
    }
    const methods = asked
      .map(([method]) => method)
      .filter((method) => !['ACK', 'BYE', 'INFO', 'UPDATE'].includes(method));
    assert.deepEqual(methods.toSorted(), ['INVITE', 'OPTIONS', 'REGISTER', 'SUBSCRIBE']);
  });
}

test('a function that throws or says something else is no reason to lose the request', async (t) => {
  const ways = [() => { throw new Error('mine'); }, () => 'perhaps', () => undefined]; // prettier-ignore
  for (const onStoreFailure of ways) {
    const { bench, calls } = await prepared(t, { onStoreFailure });
    await begin('dead', bench);
    const answers = await ask(bench, calls);
    assert.ok(Object.values(answers).every(({ statusCode }) => statusCode >= 200));
    assert.equal(answers.bye.statusCode, 200);
  }
});

test('an INVITE without credentials needs no load, and is accepted whatever the store does', async (t) => {
  const { bench } = await prepared(t);
  await begin('dead', bench);
  await bench.call('new');
  assert.equal(bench.saw('INVITE', 'new')[0].degraded, false);
});

test('wrong values of the options are refused by name', () => {
  for (const onStoreFailure of ['retry', 5, {}, null, true]) {
    assert.throws(() => session({ onStoreFailure }), { code: 'ERR_SESSION_OPTION', message: /onStoreFailure/ });
  }
  for (const name of ['maxQueue', 'maxQueueBytes']) {
    for (const value of ['many', {}, -1, 1.5]) {
      assert.throws(() => new session.RedisStore({ [name]: value }), {
        code: 'ERR_SESSION_OPTION',
        message: RegExp(name)
      });
    }
  }
});

test("'error' tells the code and why, once for each state", async (t) => {
  const { bench, calls } = await prepared(t);
  await begin('dead', bench);
  for (let i = 0; i < 20; i++) await bench.info(calls[0], { i });
  const codes = bench.store.errors.map(({ code }) => code);
  assert.ok(codes.length > 0 && codes.length === new Set(codes).size, codes.join());
  for (const err of bench.store.errors) {
    assert.ok(err instanceof session.SessionError);
    assert.ok(err.message.length > 20, err.message);
  }
});

// The messages on a channel during a test. Stores of tests before it may still be closing: `of` gives those of one store.
function heard(t, name) {
  const messages = [];
  messages.of = (store) => messages.filter((told) => told.store === store);
  const listener = (told) => messages.push(told);
  diagnostics.subscribe(`drachtio-session:${name}`, listener);
  t.after(() => diagnostics.unsubscribe(`drachtio-session:${name}`, listener));
  return messages;
}

test('diagnostics channels tell of operations, messages and the breaker, with timings', async (t) => {
  const [operations, messages, breaker] = ['operation', 'message', 'breaker'].map((name) => heard(t, name));
  const { bench, calls } = await prepared(t);
  const { store } = bench;
  const changes = () => breaker.of(store);
  assert.ok(operations.of(store).length > 0 && messages.length > 0);
  const invite = messages.find(({ method, callId }) => method === 'INVITE' && callId === 'one');
  assert.deepEqual([invite.degraded, typeof invite.duration], [false, 'number']);
  for (const told of operations.of(store)) {
    assert.equal(typeof told.kind, 'string');
    assert.ok(told.duration >= 0, String(told.duration));
    assert.equal(told.error, undefined);
  }
  assert.deepEqual(changes(), []);
  const outage = await begin('hanging', bench);
  await until(async () => {
    await bench.info(calls[0], {});
    return changes().length > 0;
  }, 'the breaker to open');
  assert.deepEqual(changes(), [{ store, open: true }]);
  const waited = messages.filter(({ method, degraded }) => method === 'INFO' && degraded);
  assert.ok(waited.length > 0 && waited[0].duration >= TIMEOUT * 0.9, `waited ${waited[0]?.duration} ms`);
  const failed = operations.of(store).filter(({ error }) => error);
  assert.ok(failed.length > 0 && failed.every(({ error }) => error.code.startsWith('ERR_SESSION_')));
  await outage.mend();
  await until(() => changes().length > 1, 'the breaker to close');
  assert.deepEqual(changes(), [{ store, open: true }, { store, open: false }]); // prettier-ignore
});

// how many saves the statistics of a message count
const saves = (stats) => stats.latencies.save?.count ?? 0;

test('a diagnostics channel tells the statistics while something is done', async (t) => {
  const told = heard(t, 'stats');
  const { bench, calls } = await prepared(t);
  const mine = () => told.of(bench.store);
  await until(async () => {
    await bench.info(calls[0], { at: Date.now() });
    const [first, ...others] = mine();
    return others.length > 0 && saves(others.at(-1).stats) > saves(first.stats);
  }, 'statistics to be told again, with more saves');
  const [first, ...others] = mine();
  assert.ok(saves(others.at(-1).stats) > saves(first.stats));
  assert.deepEqual(Object.keys(others.at(-1).stats).toSorted(), Object.keys(bench.store.stats()).toSorted());
});

test('while the breaker is open nothing waits; it closes by itself when the store is back', async (t) => {
  const breaker = heard(t, 'breaker');
  const { bench, calls } = await prepared(t, { timeout: 2000 });
  const outage = await begin('hanging', bench);
  await until(async () => {
    await Promise.all([1, 2, 3, 4].map(() => bench.info(calls[0], {})));
    return breaker.of(bench.store).at(-1)?.open;
  }, 'the breaker to open');
  const codes = new Set();
  const begun = Date.now();
  for (let i = 0; i < 50; i++) codes.add(await session.Session.loadFromStorage({ store: bench.store }, `none-${i}`).catch(({ code }) => code)); // prettier-ignore
  // fifty that waited would take a hundred seconds; a probe may be among them
  assert.ok(Date.now() - begun < scaled(10000));
  assert.ok(codes.has('ERR_SESSION_STORE_UNAVAILABLE'), [...codes].join());
  await outage.mend();
  await until(() => breaker.of(bench.store).at(-1)?.open === false, 'the breaker to close');
  await bench.info(calls[0], { after: 1 });
  assert.deepEqual(await bench.stored('one'), { callId: 'one', after: 1 });
});

test('a store that is well never has a degraded session', async (t) => {
  const store = await openStore(t, 'redis');
  await save(store, 'call', { a: 1 });
  const { req, res } = message('INFO', 'call', true);
  await new Promise((resolve) => {
    session({ store })(req, res, resolve);
  });
  assert.equal(req.session.mks.degraded, false);
});
