'use strict';
// The near cache: what it saves Redis, and that what others change is seen. Two stores are two processes to each other.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const session = require('../..');
const { onEachStore, turn } = require('../support/contract/bench');
const { Monitor } = require('../support/network/monitor');
const { message } = require('../support/message');
const { connect, load, save, startRedis, stored } = require('../support/sessions');
const { until } = require('../support/waiting');

const { Session } = session;

// `here` has a cache and one connection, so that what the server tells comes in the order in which it happened; `there`
// has none and always says what is stored.
async function open(t, options = {}) {
  const server = await startRedis(t);
  const at = { host: server.host, port: server.port };
  const here = connect(t, { ...at, poolSize: 1, ...options });
  const there = connect(t, { ...at, cache: false });
  await Promise.all([here.length(), there.length()]);
  return { server, here, there };
}

const cacheOf = (store) => store.stats().cache;

// Waits until Redis has notified `store` of a change since `act` began.
async function told(store, act) {
  const { invalidations } = cacheOf(store);
  await act();
  await until(() => cacheOf(store).invalidations > invalidations, 'the server to tell of a change');
}

// A session of `store` under several keys.
async function make(store, ids, data) {
  const mks = new Session({ store });
  ids.forEach((id) => mks.set(id));
  mks.session = data;
  await mks.save();
  return mks;
}

// What `store` asked of Redis for a load: 'hit' or 'miss', and what it found.
async function looked(store, id) {
  const { hits } = cacheOf(store);
  const mks = await load(store, id);
  return [cacheOf(store).hits > hits ? 'hit' : 'miss', mks && { ...mks.session }];
}

onEachStore(
  (test) => {
    test('an ordinary call on one process sends no read to Redis', async (bench) => {
      const { app } = bench;
      app.invite((req, res) => {
        Object.assign(req.session, { user: 'jack', at: new Date(), digits: '' });
        res.send(200);
      });
      app.ack((req) => assert.equal(req.session.user, 'jack'));
      app.update((req, res) => res.send(200));
      app.info((req, res) => {
        req.session.digits += req.body;
        res.send(200);
      });
      app.bye((req, res) => res.send(req.session.digits === '44' ? 200 : 500));
      const monitor = await Monitor.start(bench.redis);
      try {
        for (let calls = 0; calls < 2; calls++) {
          const call = app.peer.invite();
          await call.final();
          assert.deepEqual(await monitor.verbs(), ['EVALSHA'], 'INVITE, 200');
          await call.ack();
          await call.request('UPDATE');
          assert.deepEqual(await monitor.verbs(), [], 'ACK, and an UPDATE that changes nothing');
          await call.request('INFO', { body: '4' });
          await call.request('INFO', { body: '4' });
          assert.deepEqual(await monitor.verbs(), ['EVALSHA', 'EVALSHA'], 'two INFO that change something');
          assert.equal((await call.bye()).statusCode, 200);
          assert.deepEqual(await monitor.verbs(), ['EVALSHA'], 'BYE');
        }
      } finally {
        monitor.stop();
      }
      await bench.assertEmpty();
    });

    test('both legs of a B2BUA: no read either, but behind a removal that is on its way', async (bench) => {
      const app = bench.bare();
      require('../../examples/b2bua')(app, session, bench.first);
      const legs = [];
      app.peer.onInvite((uac) => {
        legs.push(uac);
        uac.respond(200);
      });
      const monitor = await Monitor.start(bench.redis);
      try {
        const legA = app.peer.invite();
        await legA.final();
        await legA.ack();
        await legs[0].request('UPDATE');
        const begun = await monitor.verbs();
        assert.ok(begun.length > 0 && begun.every((verb) => verb.startsWith('EVAL')), begun.join(' '));
        await legs[0].bye();
        await (
          await legA.received('BYE')
        ).answered;
        const ended = await monitor.verbs();
        assert.ok(ended.filter((verb) => verb === 'HGETALL').length <= 1, ended.join(' '));
      } finally {
        monitor.stop();
      }
      await bench.becomesEmpty();
    });

    test('the handler runs in the same turn of the event loop', async ({ first }) => {
      const attach = session({ store: first });
      const inTurn = (id) => {
        const { req, res, left } = message('INFO', id, true);
        let seen;
        attach(req, res, () => {
          seen = { ...req.session };
          res.send(200);
        });
        const atOnce = seen;
        return left.then(() => atOnce);
      };
      await save(first, 'known', { a: 1 });
      assert.deepEqual(await inTurn('known'), { a: 1 });
      assert.equal(await inTurn('unknown'), undefined, 'one that has to be asked for is waited for');
      await turn();
    });
  },
  ({ cached }) => cached
);

describe('what another process changes is seen', () => {
  it('properties that were set and removed', async (t) => {
    const { here, there } = await open(t);
    await save(here, 'call', { a: 1, b: 1 });
    assert.deepEqual(await looked(here, 'call'), ['hit', { a: 1, b: 1 }]);
    const other = await load(there, 'call');
    await told(here, () => {
      other.session.a = 2;
      delete other.session.b;
      return other.save();
    });
    assert.deepEqual(await looked(here, 'call'), ['miss', { a: 2 }]);
    assert.deepEqual(await looked(here, 'call'), ['hit', { a: 2 }]);
  });

  it('by a load of any key, in the middle of handling another request', async (t) => {
    const { here, there } = await open(t);
    await make(here, ['a', 'b'], { n: 1 });
    const attach = session({ store: here });
    const { req, res, left } = message('INFO', 'a', true);
    attach(req, res, () => (req.session.mine = 1));
    const other = await load(there, 'b');
    await told(here, () => {
      other.session.n = 2;
      return other.save();
    });
    const second = message('INFO', 'b', true);
    await new Promise((resolve) => {
      attach(second.req, second.res, resolve);
    });
    assert.equal(second.req.session, req.session, 'one data object');
    assert.deepEqual({ ...req.session }, { n: 2, mine: 1 });
    res.send(200);
    await left;
    assert.deepEqual(await stored(there, 'a'), { n: 2, mine: 1 });
  });

  it('keys that were added and removed', async (t) => {
    const { here, there } = await open(t);
    await make(here, ['a', 'b'], { n: 1 });
    const other = await load(there, 'a');
    await told(here, () => other.set('c').save());
    assert.deepEqual(await looked(here, 'c'), ['miss', { n: 1 }]);
    assert.deepEqual((await load(here, 'a')).keys.toSorted(), ['mks:a', 'mks:b', 'mks:c']);
    await told(here, () => other.del('b'));
    assert.deepEqual(await looked(here, 'b'), ['miss', null]);
    assert.deepEqual((await load(here, 'a')).keys, ['mks:a', 'mks:c']);
    await told(here, () => other.del('a'));
    assert.equal(await stored(here, 'a'), null);
    assert.deepEqual((await load(here, 'c')).keys, ['mks:c']);
  });

  it('a key that was removed is not found again after a save of an older object', async (t) => {
    const { here, there } = await open(t);
    const older = await make(here, ['a', 'b'], { n: 1 });
    const other = await load(there, 'a');
    await told(here, () => other.del('b'));
    older.session.n = 2;
    await older.save();
    assert.equal(await stored(here, 'b'), null);
    assert.deepEqual((await load(here, 'a')).keys, ['mks:a']);
  });

  it('a session that was removed', async (t) => {
    const { here, there } = await open(t);
    const mks = await make(here, ['a', 'b'], { n: 1 });
    const other = await load(there, 'b');
    await told(here, () => other.destroy());
    assert.equal(await stored(here, 'a'), null);
    assert.equal(await stored(here, 'b'), null);
    mks.session.n = 2;
    await assert.rejects(mks.save(), { code: 'ERR_SESSION_GONE' });
  });

  it('a Call-ID that a new dialog has taken over there', async (t) => {
    const { here, there } = await open(t);
    await make(here, ['a', 'b'], { who: 'old' });
    await told(here, () => save(there, 'b', { who: 'new' }));
    assert.deepEqual(await stored(here, 'b'), { who: 'new' });
    assert.deepEqual((await load(here, 'a')).keys, ['mks:a']);
  });

  for (const [how, lose] of [
    ['taken away', (there) => load(there, 'a').then((other) => other.del('b'))],
    ['taken over by a new dialog', (there) => save(there, 'b', { who: 'new' })]
  ]) {
    it(`a key that was ${how}, of a session that a request holds`, async (t) => {
      const { here, there } = await open(t);
      await make(here, ['a', 'b'], { who: 'old' });
      const attach = session({ store: here });
      const request = async (id) => {
        const { req, res, left } = message('INFO', id, true);
        await new Promise((resolve) => {
          attach(req, res, resolve);
        });
        return { req, res, left };
      };
      const first = await request('b');
      assert.equal(first.req.session.who, 'old');
      await told(here, () => lose(there));
      const second = await request('a');
      assert.equal(second.req.mks, first.req.mks);
      second.req.session.n = 1;
      second.res.send(200);
      await second.left;
      assert.equal((await request('a')).req.mks, first.req.mks);
      const found = await load(here, 'b');
      assert.deepEqual(found && { ...found.session }, await stored(there, 'b'));
      assert.notEqual(found, first.req.mks);
    });
  }

  it('what no session module did: FLUSHALL, DEL, PEXPIRE', async (t) => {
    const { server, here } = await open(t);
    const gone = () => until(async () => (await load(here, 'call')) === null, 'the session to be gone');
    for (const command of [['FLUSHALL'], ['DEL', 'sess:mks:call'], ['PEXPIRE', 'sess:mks:call', '50']]) {
      await save(here, 'call', { n: 1 });
      assert.deepEqual(await looked(here, 'call'), ['hit', { n: 1 }]);
      await server.cli(...command);
      await gone();
    }
  });
});

describe('what this process changes', () => {
  // each leaves a session that the cache may go on with: `n` is what it holds then
  const writes = {
    'a save': async (mks) => {
      mks.session.n = 2;
      await mks.save();
    },
    'a save of nothing': async (mks) => {
      await mks.save();
      mks.session.n = 2;
      await mks.save();
    },
    'a key added': async (mks) => {
      mks.session.n = 2;
      await mks.set('c').save();
    },
    'a key removed': async (mks) => {
      mks.session.n = 2;
      await mks.save();
      await mks.del('b');
    },
    'a key removed, with changes': async (mks) => {
      mks.session.n = 2;
      await mks.del('b');
    },
    'update()': (mks) => mks.update((data) => void (data.n = 2)),
    'save({ifUnchanged: true})': async (mks) => {
      mks.session.n = 2;
      await mks.save({ ifUnchanged: true });
    }
  };

  for (const [name, write] of Object.entries(writes)) {
    it(`${name}: Redis does not notify it of that, but of what another does after it`, async (t) => {
      const { here, there } = await open(t);
      const mks = await make(here, ['a', 'b'], { n: 1 });
      await save(here, 'mark', {});
      await write(mks);
      const mark = await load(there, 'mark');
      const before = cacheOf(here).invalidations;
      await told(here, () => mark.save());
      assert.equal(cacheOf(here).invalidations, before + 1, 'of the mark alone');
      const [where, data] = await looked(here, 'a');
      assert.deepEqual(data, { n: 2 });
      if (!name.includes('removed')) assert.equal(where, 'hit');
      assert.deepEqual(await stored(there, 'a'), { n: 2 });
      const other = await load(there, 'a');
      await told(here, () => {
        other.session.n = 3;
        return other.save();
      });
      assert.deepEqual(await stored(here, 'a'), { n: 3 });
    });
  }

  it('store.destroy, clear, touch and set, by any key', async (t) => {
    const { here } = await open(t);
    const again = async () => {
      await make(here, ['a', 'b'], { n: 1 });
      assert.deepEqual(await looked(here, 'a'), ['hit', { n: 1 }]);
      assert.deepEqual(await looked(here, 'b'), ['hit', { n: 1 }]);
    };
    for (const name of ['mks:a', 'mks:b']) {
      await again();
      await here.touch(name);
      assert.deepEqual(await looked(here, 'b'), ['miss', { n: 1 }]);
      await here.destroy(name);
      assert.equal(await stored(here, 'a'), null);
      assert.equal(await stored(here, 'b'), null);
    }
    await again();
    await here.clear();
    assert.equal(await stored(here, 'a'), null);
    assert.equal(await stored(here, 'b'), null);
    await again();
    await here.set('mks:a', 'a value of the application');
    await assert.rejects(load(here, 'a'), { code: 'ERR_SESSION_CORRUPT' });
  });

  it('mks.destroy() and the last key', async (t) => {
    const { here } = await open(t);
    await (await make(here, ['a', 'b'], {})).destroy();
    assert.equal(await stored(here, 'a'), null);
    assert.equal(await stored(here, 'b'), null);
    const mks = await make(here, ['a', 'b'], {});
    await mks.del('a');
    assert.equal(await stored(here, 'a'), null);
    assert.deepEqual((await load(here, 'b')).keys, ['mks:b']);
    await mks.del('b');
    assert.equal(await stored(here, 'b'), null);
  });

  it('a Call-ID that a new dialog has taken over', async (t) => {
    const { here } = await open(t);
    await make(here, ['a', 'b'], { who: 'old' });
    assert.deepEqual(await looked(here, 'b'), ['hit', { who: 'old' }]);
    await save(here, 'b', { who: 'new' });
    assert.deepEqual(await stored(here, 'b'), { who: 'new' });
    assert.deepEqual((await load(here, 'a')).keys, ['mks:a']);
    await save(here, 'a', { who: 'newer' });
    assert.deepEqual(await stored(here, 'a'), { who: 'newer' });
    assert.deepEqual(await stored(here, 'b'), { who: 'new' });
  });
});
