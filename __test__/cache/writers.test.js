'use strict';
// Several objects of one session, in one process and in two, whose reads come from near caches: none undoes what
// another has written.

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const { message } = require('../support/message');
const { random } = require('../support/random');
const { connect, load, save, startRedis, stored } = require('../support/sessions');
const { until } = require('../support/waiting');

const { SEED = '1' } = process.env;

// Two processes with caches, and one without that says what is stored.
async function open(t) {
  const { port } = await startRedis(t);
  const [here, there, plain] = [{}, {}, { cache: false }].map((options) => connect(t, { port, ...options }));
  await Promise.all([here, there, plain].map((store) => store.length()));
  return { here, there, plain };
}

// A request that is being handled: `done()` answers it.
async function request(attach, id) {
  const { req, res, left } = message('INFO', id, true);
  await new Promise((resolve) => {
    attach(req, res, resolve);
  });
  const done = () => {
    res.send(200);
    return left;
  };
  return { req, done };
}

test("a timer's object and those of requests never undo each other's properties", async (t) => {
  const { here, plain } = await open(t);
  const attach = session({ store: here });
  const timer = await save(here, 'call', {});
  const pick = random(Number(SEED));
  const expected = {};
  // sets a property of its own, or removes it
  const change = (data, owner, i) => {
    const name = `${owner}${pick(5)}`;
    if (pick(4) === 0) {
      delete data[name];
      delete expected[name];
    } else expected[name] = data[name] = i;
  };
  for (let i = 0; i < 300; i++) {
    const saves = [];
    if (pick(3) > 0) {
      change(timer.session, 't', i);
      saves.push(timer.save());
    }
    if (pick(3) > 0) {
      const { req, done } = await request(attach, 'call');
      assert.notEqual(req.mks, timer, 'the timer has an object of its own');
      change(req.session, 'r', i);
      saves.push(done());
    }
    if (pick(2) > 0) await Promise.all(saves);
    if (pick(10) === 0) {
      await Promise.all(saves);
      assert.deepEqual(await stored(here, 'call'), expected, `step ${i}, by the cache`);
      assert.deepEqual(await stored(plain, 'call'), expected, `step ${i}, as stored`);
    }
  }
  await timer.save();
  await until(() => here.stats().inFlight === 0, 'what is under way');
  assert.deepEqual(await stored(plain, 'call'), expected);
  assert.deepEqual(await stored(here, 'call'), expected);
  assert.ok(here.stats().cache.hits > 50, 'the requests were served by the cache');
});

test('a value that was read before another process changed it is not written back', async (t) => {
  const { here, there, plain } = await open(t);
  await save(here, 'call', { state: 'ringing', digits: '' });
  // both have read the old value from their caches
  const mine = await load(here, 'call');
  const theirs = await load(there, 'call');
  assert.equal(mine.session.state, 'ringing');
  theirs.session.state = 'answered';
  await theirs.save();
  mine.session.digits = '1';
  await mine.save();
  assert.deepEqual(await stored(plain, 'call'), { state: 'answered', digits: '1' });
  for (const store of [here, there]) {
    const seen = async () => JSON.stringify(await stored(store, 'call')) === '{"state":"answered","digits":"1"}';
    await until(seen, 'both to see both');
  }
});

async function counted(store) {
  const mks = await load(store, 'call');
  return mks.update((data) => ++data.count);
}

test('update() does not count on what the cache has', async (t) => {
  const { here, there, plain } = await open(t);
  await save(here, 'call', { count: 0 });
  const given = [];
  for (let i = 0; i < 50; i++) {
    given.push(...(await Promise.all([here, there, here].map(counted))));
  }
  assert.deepEqual(given.toSorted((a, b) => a - b), Array.from({ length: 150 }, (_, i) => i + 1)); // prettier-ignore
  assert.deepEqual(await stored(plain, 'call'), { count: 150 });
});

test('save({ifUnchanged}) of what the cache has fails where another process has saved', async (t) => {
  const { here, there, plain } = await open(t);
  await save(here, 'call', { owner: null });
  for (let i = 0; i < 50; i++) {
    const claims = [here, there].map(async (store, n) => {
      const mks = await load(store, 'call');
      mks.session.owner = `${n} ${i}`;
      try {
        await mks.save({ ifUnchanged: true });
        return [mks.session.owner];
      } catch (err) {
        assert.equal(err.code, 'ERR_SESSION_CONFLICT');
        assert.notEqual(err.newer.owner, `${n} ${i}`, 'it gets what another has stored');
        return [];
      }
    });
    const won = (await Promise.all(claims)).flat();
    const { owner } = await stored(plain, 'call');
    assert.ok(won.includes(owner), `${owner} is stored, ${won} have won`);
  }
});

test('ifUnchanged by a stale cache: the one who has not heard of the other loses, with what is stored', async (t) => {
  const { here, there } = await open(t);
  await save(here, 'call', { n: 0 });
  const [mine, theirs] = await Promise.all([load(here, 'call'), load(there, 'call')]);
  theirs.session.n = 1;
  await theirs.save();
  mine.session.n = 2;
  const err = await mine.save({ ifUnchanged: true }).then(() => null, (thrown) => thrown); // prettier-ignore
  assert.equal(err?.code, 'ERR_SESSION_CONFLICT');
  assert.deepEqual({ ...err.newer }, { n: 1 });
  await until(async () => (await stored(here, 'call')).n === 1, 'what is stored to be seen');
});
