'use strict';
// What every contract test stands on: each test is run on each kind of store, with a host and an empty store of its
// own, and fails if a handler threw or the store had an error that the test did not ask for.

const assert = require('node:assert/strict');
const { after, before, describe, it } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../../..');
const host = require('../../../examples/classic-host');
const { RedisServer } = require('../redis');
const { connected, kinds } = require('./stores');

class Bench {
  constructor(kind, redis, content) {
    Object.assign(this, { kind, redis, content, failures: [], errors: [] });
  }

  // A store over the content of this test; each call is another process's view where the kind can have one.
  async store() {
    const store = await connected(await this.content.make());
    if (store.listenerCount('error') === 0) store.on('error', (err) => this.errors.push(err));
    return store;
  }

  // A host with the middleware in it.
  host(store, options) {
    const app = this.bare();
    app.use(session({ store, app, ...options }));
    return app;
  }

  bare() {
    const app = host();
    app.on('failure', (err) => this.failures.push(err));
    return app;
  }

  // How many entries are left.
  async size() {
    return await this.content.size();
  }

  async isEmpty() {
    return (await this.size()) === 0;
  }

  async assertEmpty(message = 'nothing is left in the store') {
    assert.equal(await this.size(), 0, message);
  }

  // For what has no response: looks again and again until the store is empty.
  async becomesEmpty(message) {
    for (let looks = 0; looks < 100 && !(await this.isEmpty()); looks++) await sleep(10);
    await this.assertEmpty(message);
  }

  // The data under a key, as another process reads it: undefined if there is no session.
  async stored(callId) {
    const mks = await this.find(callId);
    return mks ? { ...mks.session } : undefined;
  }

  async find(callId) {
    const store = this.kind.processes > 1 ? await this.store() : this.first;
    return session.Session.loadFromStorage({ store }, callId);
  }

  // The errors so far, which the test has expected.
  expected() {
    return this.errors.splice(0);
  }

  async run(body) {
    if (this.redis) await this.redis.raw('FLUSHALL');
    try {
      this.first = await this.store();
      this.app = this.host(this.first);
      await body(this);
    } finally {
      await this.content.close();
    }
    assert.deepEqual(this.failures, [], 'no handler threw');
    assert.deepEqual(this.errors, [], 'the store had no error');
  }
}

// on((test, kind) => test(name, async (bench) => {...})): runs the tests on each kind of store.
function onEachStore(define, wanted = () => true) {
  for (const kind of kinds.filter(wanted)) {
    describe(kind.name, () => {
      let redis;
      if (kind.redis) {
        before(async () => {
          redis = await RedisServer.start();
        });
        after(() => redis.stop());
      }
      const test = (name, body) => it(name, () => new Bench(kind, redis, kind.open(redis)).run(body));
      define(test, kind);
    });
  }
}

// The body of a handler that answers 200 with what the session holds, so that a test sees what the handler saw.
const echo = (req, res) => res.send(200, { body: JSON.stringify(req.session) });
const told = (response) => JSON.parse(response.body);
const turn = () => new Promise(setImmediate);

module.exports = { Bench, echo, onEachStore, told, turn };
