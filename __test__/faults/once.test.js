'use strict';
// In-doubt writes: their connection was lost. The engine repeats them, and they are done once.

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const { faultBench } = require('../support/faults/bench');
const { begin } = require('../support/faults/faults');
const { connect, load, save } = require('../support/sessions');
const { until } = require('../support/waiting');

const DOUBT = ['ERR_SESSION_TIMEOUT', 'ERR_SESSION_STORE_UNAVAILABLE'];
const FAST = { timeout: 300, storeOptions: { commandTimeout: 300, poolSize: 1 } };

// A store whose server knows the scripts, so that one command is one write.
async function open(t) {
  const bench = await faultBench(t, FAST);
  const warm = await save(bench.store, 'another', {});
  warm.set('one more').session = { a: 1 };
  await warm.save();
  await warm.del('one more');
  await warm.destroy();
  return bench;
}

const failing = async (promise) => {
  const code = await promise.then(() => 'none', (err) => err.code); // prettier-ignore
  assert.ok(DOUBT.includes(code), code);
};

// nothing waits, and nothing is on its way that would have to wait
const replayed = ({ store }) =>
  until(() => store.stats().inFlight === 0 && store.stats().pendingWrites === 0, 'the last replies');

test('a save that was done although its answer was lost is not done again', async (t) => {
  const bench = await open(t);
  const mine = await save(bench.store, 'call', { a: 1 });
  bench.proxy.hang('toClient');
  mine.session.a = 2;
  await failing(mine.save());
  const theirs = await load(bench.other, 'call');
  assert.equal(theirs.session.a, 2);
  theirs.session.a = 3;
  await theirs.save();
  mine.session.b = 1;
  await failing(mine.save());
  await bench.proxy.mend();
  await replayed(bench);
  assert.deepEqual(await bench.stored('call'), { a: 3, b: 1 });
});

test('nor is a key that was removed taken away again, nor what went with it written', async (t) => {
  const bench = await open(t);
  const mine = await save(bench.store, 'call', { a: 1 });
  await mine.set('another').save();
  bench.proxy.hang('toClient');
  mine.session.a = 2;
  await failing(mine.del('another'));
  const theirs = await load(bench.other, 'call');
  assert.deepEqual([theirs.keys, theirs.session.a], [['mks:call'], 2]);
  theirs.set('another').session.a = 3;
  await theirs.save();
  await bench.proxy.mend();
  await replayed(bench);
  assert.deepEqual(await bench.stored('another'), { a: 3 });
});

// From the next script but `scripts` on nothing comes through any more: it, or its answer.
function lose({ proxy }, direction, scripts = 0) {
  proxy.change('toServer', (chunk) => {
    if (!chunk.includes('EVALSHA') || scripts-- > 0) return chunk;
    proxy.hang(direction);
    return direction === 'toServer' ? Buffer.alloc(0) : chunk;
  });
}

const WRITES = {
  'update()': (mks) => mks.update((data) => void data.n++),
  'save({ifUnchanged})': (mks) => {
    mks.session.n++;
    return mks.save({ ifUnchanged: true });
  }
};

for (const [how, write] of Object.entries(WRITES)) {
  for (const direction of ['toServer', 'toClient']) {
    test(`${how} that is lost ${direction} is done once, or not at all where others were faster`, async (t) => {
      for (const beaten of [false, true]) {
        const bench = await open(t);
        const mine = await save(bench.store, 'call', { n: 1 });
        lose(bench, direction);
        await failing(write(mine));
        if (beaten) {
          const theirs = await load(bench.other, 'call');
          theirs.session.theirs = true;
          await theirs.save();
        }
        await bench.proxy.mend();
        await replayed(bench);
        const done = direction === 'toClient' || !beaten;
        assert.deepEqual(await bench.stored('call'), { n: done ? 2 : 1, ...(beaten && { theirs: true }) });
        const told = bench.store.errors.map(({ code }) => code);
        assert.ok(!told.includes('ERR_SESSION_CONFLICT') && !told.includes('ERR_SESSION_GIVEN_UP'), told.join());
        mine.session.after = true;
        await mine.save();
        assert.equal((await bench.stored('call')).after, true);
      }
    });
  }
}

test('a first save that others have changed before they removed the session brings nothing back', async (t) => {
  const bench = await open(t);
  bench.proxy.hang('toClient');
  const mine = new session.Session({ store: bench.store });
  mine.set('call').session = { a: 1 };
  await failing(mine.save());
  const theirs = await until(() => load(bench.other, 'call'), 'the session');
  theirs.session.b = 2;
  await theirs.save();
  await theirs.del('call');
  await bench.proxy.mend();
  await until(async () => (await mine.save().catch((err) => err.code)) === 'ERR_SESSION_GONE', 'it to be gone');
  await bench.become([]);
});

for (const fault of ['garbage', 'reset in each reply']) {
  test(`${fault}: a session whose first save is in doubt is removed when it ends`, async (t) => {
    const bench = await faultBench(t, {
      timeout: 1500,
      storeOptions: { commandTimeout: 60000, connectTimeout: 60000 }
    });
    const outage = await begin(fault, bench);
    // Redis does the save and its reply is lost; the attempts that follow find no connection for more than a second
    await bench.bye(await bench.call('call'));
    await outage.mend();
    await bench.become([]);
    await replayed(bench);
    await bench.become([]);
  });
}

test('nor one whose Call-ID another dialog has taken over meanwhile', async (t) => {
  const bench = await open(t);
  bench.proxy.hang('toClient');
  const mine = new session.Session({ store: bench.store });
  mine.set('call').session = { a: 1 };
  await failing(mine.save());
  await until(() => load(bench.other, 'call'), 'the session');
  await save(bench.other, 'call', { theirs: true });
  await bench.proxy.mend();
  await until(async () => (await mine.save().catch((err) => err.code)) === 'ERR_SESSION_GONE', 'it to be gone');
  assert.deepEqual(await bench.stored('call'), { theirs: true });
});

test('one that found its place taken is looked for where it went, also when that is free again', async (t) => {
  const bench = await open(t);
  const resident = await save(bench.other, 'call', { resident: true });
  await resident.set('leg').save();
  await resident.del('call');
  lose(bench, 'toClient', 1);
  const mine = new session.Session({ store: bench.store });
  mine.set('call').session = { a: 1 };
  await failing(mine.save());
  assert.deepEqual(await bench.stored('call'), { a: 1 });
  await resident.destroy();
  await bench.proxy.mend();
  await replayed(bench);
  await until(() => bench.stored('call'), 'the session');
  assert.deepEqual(await bench.stored('call'), { a: 1 });
  await mine.destroy();
  await bench.become([]);
});

test('a session keeps the numbers of 17 writers at most', async (t) => {
  const bench = await open(t);
  await save(bench.store, 'call', {});
  for (let i = 0; i < 20; i++) {
    const store = connect(t, { port: bench.redis.port, poolSize: 1, cache: false });
    const mks = await load(store, 'call');
    mks.session[`p${i}`] = i;
    await mks.save();
    await store.close();
  }
  const fields = (await bench.redis.cli('HKEYS', 'sess:mks:call')).split('\n');
  assert.equal(fields.filter((field) => field.startsWith('~')).length, 17);
  assert.equal(Object.keys(await bench.stored('call')).length, 20);
});
