'use strict';
// Where the old module was wrong, and ours is not. The numbers are the contract's; 2 and 4 are also in
// contract-response.test.js, 8 in contract-roundtrips.test.js.

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const { describe, it } = require('node:test');
const session = require('../..');
const { onEachStore, echo, told, turn } = require('../support/contract/bench');
const { Monitor } = require('../support/network/monitor');

const { Session } = session;

// A handler that answers when it is told to.
class Held {
  constructor() {
    this.reached = new Promise((resolve) => {
      this.hold = (answer) => {
        this.release = answer;
        resolve();
      };
    });
  }
}

// pseudo-random, the same in each run
function random(seed) {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
}

onEachStore((test, kind) => {
  const saves = kind.name === 'MemoryStore' ? 100000 : 5000;
  test(`1. ${saves} changes, each of them saved: none is dropped`, async (bench) => {
    const { first: store } = bench;
    const reader = kind.processes > 1 ? await bench.store() : store;
    const mks = new Session({ store }).set('a');
    const next = random(2014);
    for (let count = 0; count < saves; count++) {
      const value = next();
      mks.session.value = value;
      if (count > 0 && !mks.isDirty()) assert.fail(`change ${count} was not noticed`);
      await mks.save();
      const found = await Session.loadFromStorage({ store: reader }, 'a');
      if (found.session.value !== value) assert.fail(`save ${count} was dropped`);
    }
  });

  test('1. a change of one character, in either direction, and swapped ones', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.text = 'ab';
      res.send(200);
    });
    app.info((req, res) => {
      req.session.text = req.body;
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'a' });
    await call.final();
    for (const text of ['ba', 'ab', 'ac', 'bb', '\u0000', '\u0001', '', ' ']) {
      await call.request('INFO', { body: text });
      assert.deepEqual(await bench.stored('a'), { text });
    }
  });

  test('2. a final response leaves without req.mks and req.session too', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      delete req.mks;
      delete req.session;
      res.send(200);
    });
    app.info((req, res) => {
      Object.defineProperty(req, 'mks', { value: undefined, configurable: true });
      res.send(200);
    });
    const call = app.peer.invite();
    assert.equal((await call.final()).statusCode, 200);
    assert.equal((await call.request('INFO')).statusCode, 200);
  });

  test('2. the answer to a canceled INVITE reaches the host', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.x = 1;
      req.canceled = true;
      res.send(487);
    });
    assert.equal((await app.peer.invite().final()).statusCode, 487);
    await bench.assertEmpty();
  });

  test('3. requests outside a dialog reach their handlers, and no error handler', async (bench) => {
    const { app } = bench;
    const errors = [];
    for (const method of ['options', 'register', 'message', 'publish']) app[method](echo);
    app.use((err, req, res, next) => {
      errors.push(err);
      next(err);
    });
    for (const method of ['OPTIONS', 'REGISTER', 'MESSAGE', 'PUBLISH']) {
      assert.equal((await app.peer.request(method)).statusCode, 200, method);
      assert.equal((await app.peer.request(method, { toTag: 'x' })).statusCode, 200, `${method} with a To tag`);
    }
    assert.deepEqual(errors, []);
  });

  test("4. res.send's 4th and 5th arguments arrive", async (bench) => {
    const { app } = bench;
    const [one, two] = [() => 1, () => 2];
    app.invite((req, res) => {
      req.session.x = 1;
      res.send(200, 'OK', {}, one, two);
    });
    await app.peer.invite().final();
    assert.deepEqual(app.sent[0].args.slice(3), [one, two]);
  });

  test('5. concurrent requests of a dialog do not overwrite what the others have changed', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => res.send(200));
    const waiting = [];
    app.info((req, res) => {
      req.session[req.body] = 1;
      waiting.push(res);
      if (waiting.length < 20) return;
      waiting.splice(0).forEach((each) => each.send(200));
    });
    const call = app.peer.invite({ callId: 'a' });
    await call.final();
    const bodies = Array.from({ length: 20 }, (_, index) => `p${index}`);
    await Promise.all(bodies.map((body) => call.request('INFO', { body })));
    assert.deepEqual(Object.keys(await bench.stored('a')).toSorted(), bodies.toSorted());
  });

  test('5. a request that begins before and ends after another one keeps what that one has stored', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      Object.assign(req.session, { removed: 1, first: 1 });
      res.send(200);
    });
    const held = new Held();
    app.info((req, res) => {
      req.session.slow = true;
      held.hold(() => res.send(200));
    });
    app.update((req, res) => {
      req.session.first = 2;
      req.session.quick = true;
      delete req.session.removed;
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'a' });
    await call.final();
    const slow = call.request('INFO');
    await held.reached;
    await call.request('UPDATE');
    held.release();
    await slow;
    assert.deepEqual(await bench.stored('a'), { first: 2, slow: true, quick: true });
  });

  if (kind.ours && kind.processes > 1) {
    test('5. ... in two processes as well', async (bench) => {
      const other = bench.host(await bench.store());
      bench.app.invite((req, res) => res.send(200));
      for (const [app, prefix] of [
        [bench.app, 'a'],
        [other, 'b']
      ]) {
        app.info((req, res) => {
          req.session[prefix + req.body] = 1;
          setImmediate(() => res.send(200));
        });
      }
      await bench.app.peer.invite({ callId: 'shared' }).final();
      const infos = Array.from({ length: 50 }, (_, index) => {
        const opts = { callId: 'shared', toTag: 'x', body: String(index) };
        return [bench.app, other].map((app) => app.peer.request('INFO', opts));
      });
      await Promise.all(infos.flat());
      assert.equal(Object.keys(await bench.stored('shared')).length, 100);
    });
  }

  test('6. saves of one session take effect in the order they were asked for', async (bench) => {
    const mks = new Session({ store: bench.first }).set('a');
    const all = [];
    for (let count = 1; count <= 100; count++) {
      mks.session.count = count;
      all.push(mks.save());
      if (count % 7 === 0) await all.at(-1);
    }
    await Promise.all(all);
    assert.deepEqual(await bench.stored('a'), { count: 100 });
  });

  test('7. a save that comes after the removal does not bring the session back', async (bench) => {
    const { app } = bench;
    let held;
    app.invite((req, res) => {
      held = req.session;
      held.user = 'jack jones';
      res.send(200);
    });
    app.bye((req, res) => res.send(200));
    const call = app.peer.invite();
    await call.final();
    await call.bye();
    held.late = true;
    await assert.rejects(held.save(), { name: 'SessionError', code: 'ERR_SESSION_GONE' });
    const err = await new Promise((resolve) => {
      held.save(resolve);
    });
    assert.equal(err.code, 'ERR_SESSION_GONE');
    assert.throws(() => held.mks.set('another'), { code: 'ERR_SESSION_GONE' });
    await bench.assertEmpty();
  });

  if (kind.processes > 1) {
    test('7. ... nor one of another process, whose response leaves all the same', async (bench) => {
      const other = bench.host(await bench.store());
      bench.app.invite((req, res) => res.send(200));
      bench.app.bye((req, res) => res.send(200));
      const held = new Held();
      other.info((req, res) => {
        req.session.late = true;
        held.hold(() => res.send(200));
      });
      const call = bench.app.peer.invite({ callId: 'a' });
      await call.final();
      const late = other.peer.request('INFO', { callId: 'a', toTag: 'x' });
      await held.reached;
      await call.bye();
      held.release();
      assert.equal((await late).statusCode, 200);
      assert.deepEqual(
        bench.expected().map(({ code }) => code),
        ['ERR_SESSION_GONE']
      );
      await bench.assertEmpty();
    });
  }

  test('7. an INFO and the BYE at the same moment, 100 times: nothing is left', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => res.send(200));
    app.info((req, res) => {
      req.session.digits = req.body;
      setImmediate(() => res.send(200));
    });
    app.bye((req, res) => res.send(200));
    const one = async () => {
      const call = app.peer.invite();
      await call.final();
      const answers = await Promise.all([call.request('INFO', { body: '1' }), call.bye()]);
      assert.deepEqual(
        answers.map(({ statusCode }) => statusCode),
        [200, 200]
      );
    };
    await Promise.all(Array.from({ length: 100 }, one));
    bench.expected().forEach(({ code }) => assert.equal(code, 'ERR_SESSION_GONE'));
    await bench.assertEmpty();
  });

  test('7. an INFO that comes after the BYE does not begin the session anew', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => res.send(200));
    app.info((req, res) => {
      req.session.digits = req.body;
      res.send(200);
    });
    app.bye((req, res) => res.send(200));
    const call = app.peer.invite();
    await call.final();
    await call.bye();
    await call.request('INFO', { body: '1' });
    bench.expected();
    await bench.assertEmpty('the dialog is over: nothing would ever remove what is stored now');
  });

  if (kind.ours && kind.redis && !kind.cached) {
    test('8. a load is one round trip, and an unchanged session is not written', async (bench) => {
      const { app, redis } = bench;
      app.invite((req, res) => {
        req.session.x = 1;
        res.send(200);
      });
      app.info(echo);
      const call = app.peer.invite();
      await call.final();
      const monitor = await Monitor.start(redis);
      try {
        assert.deepEqual(told(await call.request('INFO')), { x: 1 });
        assert.deepEqual(await monitor.verbs(), ['HGETALL']);
      } finally {
        monitor.stop();
      }
    });
  }
});

describe('6. a store that is slower the earlier it was asked', () => {
  it('keeps the order of saves', async () => {
    const entries = new Map();
    let delay = 30;
    const slow = async (act) => {
      await sleep((delay = Math.max(0, delay - 10)));
      return act();
    };
    const store = Object.assign(new EventEmitter(), {
      get: (sid) => slow(() => (entries.has(sid) ? JSON.parse(entries.get(sid)) : undefined)),
      set: (sid, value) => slow(() => void entries.set(sid, JSON.stringify(value))),
      destroy: (sid) => slow(() => void entries.delete(sid))
    });
    const mks = new Session({ store }).set('a');
    const all = [];
    for (let count = 1; count <= 5; count++) {
      mks.session.count = count;
      all.push(mks.save());
      await turn();
    }
    await Promise.all(all);
    assert.deepEqual(JSON.parse(entries.get(mks.uuid)).session, { count: 5 });
  });
});
