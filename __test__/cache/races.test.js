'use strict';
// Two processes with near caches on the same sessions: no read is older than what the reader has seen or stored before,
// none is older than the last invalidation received, and no write is lost. Another course of it:
// RACES=100000 SEED=7 node --test __test__/cache/races.test.js

const assert = require('node:assert/strict');
const test = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { RemoteRacer, TASKS, keysOf } = require('../support/cache/racer');
const { Proxy } = require('../support/network/proxy');
const { random } = require('../support/random');
const { connect, load, save, startRedis, stored } = require('../support/sessions');
const { sizesOf } = require('../support/sizes');
const { until } = require('../support/waiting');

const { RACES } = sizesOf('cache/races');
const SEED = Number(process.env.SEED || 1);
const SESSIONS = 6;
const NAMES = ['p', 'q'];

// Both race, over connections to `ports`; meanwhile() goes on until they have come in.
async function race(t, { redis, ports, operations, meanwhile }) {
  const plain = connect(t, { port: redis.port, cache: false });
  for (let number = 0; number < SESSIONS; number++) {
    const [first, second] = keysOf(number);
    const mks = await save(plain, first, {});
    await mks.set(second).save();
  }
  const racers = NAMES.map(
    (name, i) => new RemoteRacer({ name, port: ports[i], seed: SEED * 2 + i, sessions: SESSIONS })
  );
  t.after(() => racers.forEach((racer) => racer.kill()));
  const racing = Promise.all(racers.map((racer) => racer.do('race', { operations: operations / 2 })));
  const outcomes = await meanwhile(racing);
  const sum = (read) => outcomes.reduce((total, outcome) => total + read(outcome), 0);
  t.diagnostic(
    `${sum(({ reads }) => reads)} reads, ${sum(({ writes }) => writes)} writes, ${sum(({ conflicts }) => conflicts)} ` +
      `conflicts; ${sum(({ cache }) => cache.hits)} hits, ${sum(({ cache }) => cache.misses)} misses, ` +
      `${sum(({ cache }) => cache.invalidations)} invalidations`
  );
  const wrong = outcomes.flatMap((outcome) => outcome.wrong);
  assert.deepEqual(wrong, []);

  // everything is quiet: both see what is stored, and that is what they were told was stored
  await sleep(300);
  const found = await Promise.all(racers.map((racer) => racer.do('look')));
  for (let number = 0; number < SESSIONS; number++) {
    const data = await stored(plain, keysOf(number)[0]);
    for (const looked of found) {
      assert.deepEqual(looked[2 * number], data, `session ${number} by its first key`);
      assert.deepEqual(looked[2 * number + 1], data, `session ${number} by its second key`);
    }
    assert.deepEqual(data, acknowledged(outcomes, number), `session ${number}: every write is there, each once`);
  }
  for (const { cache } of outcomes) {
    assert.ok(cache.hits > 0 && cache.misses > 0 && cache.invalidations > 0, JSON.stringify(cache));
  }
  assert.deepEqual(await Promise.all(racers.map((racer) => racer.end())), [0, 0]);
}

// What a session holds if all that was acknowledged is there, and nothing else.
function acknowledged(outcomes, number) {
  const expected = {};
  for (const [i, { floors, raised }] of outcomes.entries()) {
    for (let task = 0; task < TASKS; task++) {
      const counter = `${NAMES[i]}.${task}`;
      if (floors[number][counter]) expected[counter] = floors[number][counter];
    }
    for (const [counter, times] of Object.entries(raised[number])) {
      if (times > 0) expected[counter] = (expected[counter] || 0) + times;
    }
  }
  return expected;
}

test('two processes with caches read and write the same sessions', async (t) => {
  const redis = await startRedis(t);
  const ports = [redis.port, redis.port];
  await race(t, { redis, ports, operations: RACES, meanwhile: (racing) => racing });
});

test('the same while what the server says comes late, to each of them for itself', async (t) => {
  const redis = await startRedis(t);
  const proxies = [await Proxy.start(redis), await Proxy.start(redis)];
  t.after(() => Promise.all(proxies.map((proxy) => proxy.stop())));
  const pick = random(SEED);
  const meanwhile = async (racing) => {
    do {
      for (const proxy of proxies) proxy.delay(pick(3) === 0 ? pick(40) : pick(4), 'toClient');
    } while (!(await Promise.race([racing, sleep(10 + pick(40))])));
    return racing;
  };
  const ports = proxies.map(({ port }) => port);
  await race(t, { redis, ports, operations: RACES / 5, meanwhile });
});

// One reader that does one thing after the other, and has only what it was told. A value that it was given by the cache,
// and that an invalidation has come for since, must not be given again.
test('no read is older than the last invalidation that was received before it', async (t) => {
  const redis = await startRedis(t);
  const proxy = await Proxy.start(redis);
  t.after(() => proxy.stop());
  const writer = connect(t, { port: redis.port });
  const reader = connect(t, { port: proxy.port });
  await reader.length();
  const mks = await save(writer, 'call', { n: 0 });
  const pick = random(SEED);
  const writing = { over: false };
  const writes = (async () => {
    for (let n = 1; n <= RACES / 15; n++) {
      proxy.delay(pick(4), 'toClient');
      mks.session.n = n;
      await mks.save();
      // a few at once, or far enough apart for hits between them
      if (pick(3) === 0) await sleep(pick(12));
    }
    writing.over = true;
  })();

  const cache = () => reader.stats().cache;
  let last = { n: -1, hit: false, invalidations: 0 };
  let told = 0;
  while (!writing.over) {
    const { invalidations, hits } = cache();
    const { n } = (await load(reader, 'call')).session;
    assert.ok(n >= last.n, `${n} was read after ${last.n}`);
    if (last.hit && invalidations > last.invalidations) {
      told++;
      assert.ok(n > last.n, `${n} was read again after the server had said that it is not the newest`);
    }
    last = { n, hit: cache().hits > hits, invalidations };
    await sleep(pick(2));
  }
  await writes;
  await until(async () => (await load(reader, 'call')).session.n === mks.session.n, 'the newest to be seen');
  assert.ok(told > 10 && cache().hits > told, `${told} invalidations of what had been read, ${cache().hits} hits`);
});
