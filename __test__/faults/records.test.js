'use strict';
// What stands under a key of ours and is no session: an error for the one that asks for it, that says where it is; and
// nothing else suffers. Also from random records and random options: SEED=7 ROUNDS=5000 for more.

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const { faultBench } = require('../support/faults/bench');
const { random } = require('../support/random');
const { connect, load, save, startRedis, stored } = require('../support/sessions');
const { VALUES } = require('../support/values');
const { until } = require('../support/waiting');

const ROUNDS = Number(process.env.ROUNDS || 400);
const SEED = Number(process.env.SEED || 1);
const place = (callId) => `sess:mks:${callId}`;

// how a record at the place of a key can be wrong
const WRONG = {
  'a string': (cli, at) => cli('SET', at, '"text"'),
  'a list': (cli, at) => cli('RPUSH', at, 'a'),
  'a set': (cli, at) => cli('SADD', at, 'a'),
  'a hash of others': (cli, at) => cli('HSET', at, 'cookie', '{}'),
  'a property that is no JSON': (cli, at) => cli('HSET', at, '.callId', '{'),
  'a property that is two': (cli, at) => cli('HSET', at, '.callId', '1,"b":2'),
  'a name that is no JSON': (cli, at) => cli('HSET', at, '.a"b', '1'),
  'a version that is no number': (cli, at) => cli('HSET', at, 'version', 'many')
};

for (const [name, spoil] of Object.entries(WRONG)) {
  test(`${name} is an error for that one session, and says where it is`, async (t) => {
    const bench = await faultBench(t);
    const [bad, good] = [await bench.call('bad'), await bench.call('good')];
    const cli = (...args) => bench.redis.cli(...args);
    if (!/property|name|version/.test(name)) await cli('DEL', place('bad'));
    await spoil(cli, place('bad'));
    // asked for at the same time, on the same connections
    const store = connect(t, { port: bench.proxy.port, poolSize: 1 });
    const all = await Promise.allSettled(['good', 'bad', 'good', 'bad', 'good'].map((id) => stored(store, id)));
    const codes = all.map(({ reason, value }) => reason?.code || value.callId);
    assert.deepEqual(codes, ['good', 'ERR_SESSION_CORRUPT', 'good', 'ERR_SESSION_CORRUPT', 'good']);
    assert.ok(all[1].reason.message.includes('mks:bad'), all[1].reason.message);
    store.errors.length = bench.store.errors.length = 0;

    // a process that has not kept the session
    bench.app = bench.host(store);
    bench.seen.length = 0;
    const headers = { 'x-set': '{"info":true}' };
    const answers = await Promise.all(
      ['bad', 'good'].map((callId) => bench.app.peer.request('INFO', { callId, toTag: 'x', headers }))
    );
    assert.deepEqual(answers.map(({ statusCode }) => statusCode), [200, 200]); // prettier-ignore
    assert.deepEqual(bench.saw('INFO', 'bad')[0].degraded, true);
    assert.deepEqual(bench.saw('INFO', 'good')[0].degraded, false);
    assert.equal((await stored(bench.other, 'good')).info, true);
    assert.ok(store.errors.some(({ code, message }) => code === 'ERR_SESSION_CORRUPT' && message.includes('mks:bad')));
    const byes = [bad, good].map(({ callId }) => bench.app.peer.request('BYE', { callId, toTag: 'x' }));
    for (const { statusCode } of await Promise.all(byes)) assert.equal(statusCode, 200);
    await until(async () => !(await bench.ids()).includes('good'), 'the good one to be gone');
    assert.deepEqual(bench.failures, []);
  });
}

test('a session that is spoiled while a process holds it: its save says so, that of others is done', async (t) => {
  const bench = await faultBench(t);
  const [bad, good] = [await save(bench.store, 'bad', { a: 1 }), await save(bench.store, 'good', { a: 1 })];
  await bench.redis.cli('DEL', place('bad'));
  await bench.redis.cli('SET', place('bad'), '"text"');
  bad.session.a = good.session.a = 2;
  const [ofBad, ofGood] = await Promise.allSettled([bad.save(), good.save()]);
  assert.equal(ofGood.status, 'fulfilled');
  assert.equal(ofBad.reason.code, 'ERR_SESSION_CORRUPT');
  assert.ok(ofBad.reason.message.includes('mks:bad'), ofBad.reason.message);
  assert.equal(await bench.redis.cli('GET', place('bad')), '"text"', 'it is not ours to overwrite');
  assert.deepEqual(await stored(bench.other, 'good'), { a: 2 });
});

// texts that come close to what is stored
function hostile(below) {
  const pick = (list) => list[below(list.length)];
  const piece = () =>
    pick([
      '', '.', '@', '->', 'uuid', 'version', 'keys', 'ttl', '@mks:hostile', '@mks:', 'mks:session:', '{', '}', '[', ']', '"',
      '\\', '\\u', '\\ud800', ':', ',', '0', '-1', '1e999', '18446744073709551616', 'null', 'true', '{"@class":"Date","value":{}}',
      '{"@class":"Date","value":"x"}', '{"@@class":1}', '__proto__', '.__proto__', '.constructor', '{"__proto__":{"polluted":1}}',
      'sess:mks:hostile', 'sess:mks:other', '\0', '\n', 'é', '\u2028', '[[[[[[[[[[[[', JSON.stringify(VALUES), by(below)
    ]); // prettier-ignore
  return () => Array.from({ length: 1 + below(3) }, piece).join('');
}

const by = (below) => 'x'.repeat(below(2000));

test(`random records, ${ROUNDS} from seed ${SEED}: a session, nothing, or an error that says where`, async (t) => {
  const redis = await startRedis(t);
  const store = connect(t, { port: redis.port });
  await save(store, 'sentinel', VALUES);
  const next = random(SEED);
  const below = (limit) => Math.floor(next() * limit);
  const text = hostile(below);
  for (let round = 0; round < ROUNDS; round++) {
    // each record is written by a script, whose arguments may hold any byte
    const fields = Array.from({ length: 1 + below(5) }, () => [below(2) ? `.${text()}` : text(), text()]).flat();
    const whole = below(2) ? ['uuid', 'mks:session:1', '@mks:hostile', '', 'keys', '1', 'version', '1'] : [];
    await redis.command('DEL', place('hostile'));
    await redis.command('HSET', place('hostile'), ...fields, ...whole);
    const what = JSON.stringify({ fields, whole });
    try {
      const mks = await load(store, 'hostile');
      if (mks) {
        assert.equal(typeof { ...mks.session }, 'object');
        mks.session.mine = round;
        await mks.save();
        assert.equal((await stored(store, 'hostile')).mine, round, what);
        await mks.destroy();
        assert.equal(await load(store, 'hostile'), null, what);
      }
    } catch (err) {
      assert.ok(err instanceof session.SessionError, `${what}: ${err.stack}`);
      assert.ok(['ERR_SESSION_CORRUPT', 'ERR_SESSION_DATA', 'ERR_SESSION_GONE'].includes(err.code), `${what}: ${err}`);
    }
    assert.equal({}.polluted, undefined, what);
  }
  assert.deepEqual(await stored(store, 'sentinel'), VALUES);
});

test(`random options, ${ROUNDS} from seed ${SEED}: taken, or refused by name`, async () => {
  const next = random(SEED);
  const below = (limit) => Math.floor(next() * limit);
  const names = ['url', 'host', 'port', 'socket', 'db', 'prefix', 'ttl', 'poolSize', 'connectTimeout', 'commandTimeout', 'name', 'maxQueue', 'maxQueueBytes', 'username', 'password', 'pass', 'x', '__proto__', '']; // prettier-ignore
  const values = [0, -1, 1, 1.5, 1e300, NaN, Infinity, '', 'x', '\ud800', '\0', '6379', '0x10', ' 1', null, undefined, true, [], [[]], {}, { toJSON: () => 1 }, Symbol('s'), 5n, () => 1, new Date(0), 'redis://[', 'redis://localhost:1/0', 'x'.repeat(1e5)]; // prettier-ignore
  const stores = [];
  for (let round = 0; round < ROUNDS; round++) {
    const options = {};
    for (let count = below(4); count > 0; count--) options[names[below(names.length)]] = values[below(values.length)];
    for (const Kind of [session.RedisStore, session.MemoryStore]) {
      try {
        const store = new Kind(options);
        store.on('error', () => undefined);
        stores.push(store.close({ timeout: 1 }));
      } catch (err) {
        assert.ok(err instanceof session.SessionError, `${Object.keys(options)}: ${err.stack}`);
        assert.equal(err.code, 'ERR_SESSION_OPTION', err.message);
      }
    }
    try {
      const some = { timeout: values[below(values.length)], onStoreFailure: values[below(values.length)] };
      session({ store: new session.MemoryStore(), ...some });
    } catch (err) {
      assert.equal(err.code, 'ERR_SESSION_OPTION', err.stack);
    }
  }
  await Promise.all(stores);
});
