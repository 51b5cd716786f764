'use strict';
// An outage under load: calls come and go while Redis is away. For as long as you want:
// SECONDS=60 CALLS=1000 node --test __test__/faults/load.test.js

const assert = require('node:assert/strict');
const test = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');
const host = require('../../examples/classic-host');
const session = require('../..');
const { Proxy } = require('../support/network/proxy');
const { FaultBench } = require('../support/faults/bench');
const { startRedis } = require('../support/sessions');
const { sizesOf } = require('../support/sizes');
const { until, within } = require('../support/waiting');

// CALLS: how many are begun in each second
const { SECONDS, CALLS } = sizesOf('faults/load');
const BEAT_MS = 20;
// how many calls of each hundred go on for longer than the outage
const LONG = 4;
const MIB = 2 ** 20;

// Calls through a host: INVITE, ACK, INFO, BYE; every answer is counted.
class Load {
  constructor(store) {
    Object.assign(this, { begun: 0, answers: 0, wrong: [], lasting: [], running: new Set() });
    this.app = host({ record: false });
    this.app.on('failure', (err) => this.wrong.push(err));
    this.app.use(session({ store, app: this.app, timeout: 1000 }));
    this.app.invite((req, res) => {
      Object.assign(req.session, { callId: req.id, note: 'x'.repeat(200) });
      res.send(200);
    });
    this.app.ack(() => undefined);
    this.app.info((req, res) => {
      if (!req.mks.degraded) req.session.info = true;
      res.send(200);
    });
    this.app.bye((req, res) => res.send(200));
  }

  count({ statusCode }) {
    this.answers++;
    if (statusCode !== 200) this.wrong.push(new Error(`answered ${statusCode}`));
  }

  async call(lasts) {
    const call = this.app.peer.invite({ callId: `call-${this.begun++}` });
    this.count(await call.final());
    await call.ack();
    if (lasts) return void this.lasting.push(call);
    await sleep(50);
    this.count(await call.request('INFO'));
    await sleep(50);
    this.count(await call.bye());
  }

  async run(seconds) {
    const end = Date.now() + seconds * 1000;
    const beats = CALLS / (1000 / BEAT_MS);
    for (let due = 0; Date.now() < end; await sleep(BEAT_MS)) {
      for (due += beats; due >= 1; due--) {
        const call = this.call(this.begun % 100 < LONG).finally(() => this.running.delete(call));
        this.running.add(call);
      }
    }
  }
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

function memory() {
  collect();
  const { rss, heapUsed } = process.memoryUsage();
  return { rss: rss / MIB, heap: heapUsed / MIB };
}

test(`an outage of ${SECONDS} s at ${CALLS} calls a second`, async (t) => {
  const redis = await startRedis(t);
  const proxy = await Proxy.start(redis);
  t.after(() => proxy.stop());
  const bench = new FaultBench(t, redis, proxy);
  const store = bench.connect({ commandTimeout: 1000, connectTimeout: 1000 });
  const load = new Load(store);
  await load.run(1);

  // hanging first, then refused, then hanging again
  const outage = (async () => {
    proxy.hang();
    await sleep((SECONDS * 1000) / 3);
    await proxy.refuse();
    proxy.reset();
    await sleep((SECONDS * 1000) / 3);
    await proxy.mend();
    proxy.hang();
  })();
  await load.run(SECONDS / 2);
  const early = memory();
  await load.run(SECONDS / 2);
  await outage;
  const late = memory();
  await proxy.mend();
  await load.run(1);

  const calls = [...load.running];
  await within(Promise.all(calls), 'the calls to end');
  const lasting = load.lasting.length;
  assert.deepEqual(load.wrong.slice(0, 5), []);
  assert.equal(load.answers, lasting + (load.begun - lasting) * 3, 'one final response to each request');
  t.diagnostic(`${load.begun} calls; ${JSON.stringify({ early, late })} MiB`);
  assert.ok(late.rss - early.rss < 64, `${early.rss} MiB after half of the outage, ${late.rss} in the end`);

  // what has ended is gone, what has not is there
  const ids = load.lasting.map(({ callId }) => callId);
  let left;
  await until(async () => {
    left = await bench.ids();
    return left.length === ids.length;
  }, 'the pending writes to be done').catch(() => undefined);
  assert.deepEqual(left, ids.toSorted());
  const codes = [...new Set(store.errors.map(({ code }) => code))];
  assert.ok(!codes.includes('ERR_SESSION_GIVEN_UP'), codes.join());

  await within(Promise.all(load.lasting.map((call) => call.bye())), 'the last to end');
  await until(async () => (await bench.ids()).length === 0, 'the store to be empty');
});
