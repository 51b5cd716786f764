'use strict';
// What the tests with the real drachtio-srf stand on: each is run on both releases and on both of our stores, with a
// scripted drachtio server and an empty store of its own, and fails if the store had an error that it did not ask for.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, before, describe, it } = require('node:test');
const { connect } = require('node:net');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../../..');
const { DrachtioServer } = require('../../../examples/drachtio-server');
const { Bench } = require('../contract/bench');
const { RedisServer } = require('../redis');
const { kinds } = require('../contract/stores');
const { until, within } = require('../waiting');

// how long to wait for the event 'ack' of a dialog, which may have come before
const ACK_MS = 100;

const releases = ['drachtio-srf', 'drachtio-srf-4'].map((name) => {
  const { version } = require(`${name}/package.json`);
  return { name: `drachtio-srf ${version}`, major: Number(version.split('.')[0]), Srf: require(name) };
});

// Connects an application, once its handlers are there, and waits until it would get their requests.
async function connectSrf(srf, server, count = 1) {
  srf.on('error', () => undefined); // a connection that is lost; it comes back by itself
  srf.connect(server.connectOptions);
  await Promise.all([once(srf, 'connect'), server.routed(Object.keys(srf.app.routedMethods), count)]);
  return srf;
}

class SrfBench extends Bench {
  // An application with the module in it, not yet connected.
  application(options) {
    return this.with({ store: this.first, ...options });
  }

  // The same as another process would be: with a store of its own over the same content.
  async process(options) {
    return this.with({ store: await this.store(), ...options });
  }

  with(options) {
    const srf = this.plain();
    srf.use(session({ app: srf, ...options }));
    return srf;
  }

  // One without the module.
  plain() {
    const srf = new this.release.Srf();
    this.applications.add(srf);
    return srf;
  }

  connect(srf, count) {
    return connectSrf(srf, this.server, count);
  }

  // Adds handlers to a new application, and connects it: `define(srf)`.
  async start(define, options) {
    const srf = this.application(options);
    define(srf);
    return await this.connect(srf);
  }

  // The application listens, and the server connects to it (outbound connections).
  async serves(srf) {
    srf.listen({ port: 0, host: '127.0.0.1', secret: this.server.connectOptions.secret });
    const { server } = srf.app.client.wp;
    if (!server.listening) await once(server, 'listening');
    // closed with the test: a listening application can't be disconnected
    this.applications.delete(srf);
    const socket = connect(server.address().port, '127.0.0.1');
    this.listening = { socket, server };
    this.server.connect(socket);
    await once(srf, 'connect');
    // which requests come over such a connection the server is told elsewhere
    for (const { methods } of this.server.connections) methods.add('invite');
  }

  disconnect(srf) {
    if (this.applications.delete(srf) && srf.app.client) srf.disconnect();
  }

  // A call that is answered, and of which the application has said srf.emit('established', …) -> {call, given}. A BYE that
  // comes before an application has its dialog, drachtio-srf does not tell it of; and one that comes with the ACK leaves
  // the B leg of a B2BUA queueing its requests forever.
  async call(srf, opts) {
    const call = this.server.call(opts);
    const [given] = await Promise.all([once(srf, 'established'), call.answered]);
    const { ack = true } = opts ?? {};
    if (ack) await Promise.race([once(given[0], 'ack'), sleep(ACK_MS)]);
    return { call, given };
  }

  // The same for a call that the application connects to a callee -> {call, callee, given}
  async connected(srf, opts) {
    const [callee, legA] = await Promise.all([this.server.callee(), this.call(srf, opts)]);
    return { ...legA, callee };
  }

  // The data of a session as another process reads it: undefined if it is not stored under the first of its keys.
  async storedOf({ keys: [key] }) {
    return await this.stored(key.slice('mks:'.length));
  }

  // For what has no response: looks until the store is empty.
  becomesEmpty(what = 'the store to become empty') {
    return until(() => this.isEmpty(), what);
  }

  // Waits until the server has nothing to wait for, and no dialog.
  async quiet() {
    await until(() => this.server.transactions.size === 0 && this.server.dialogs.size === 0, 'the calls to end');
  }

  async run(body) {
    this.applications = new Set();
    if (this.redis) await this.redis.raw('FLUSHALL');
    this.server = await DrachtioServer.start();
    try {
      this.first = await this.store();
      await within(body(this), 'the test to end');
    } finally {
      this.applications.forEach((srf) => this.disconnect(srf));
      this.listening?.socket.destroy();
      this.listening?.server.close();
      await this.server.stop();
      await this.content.close();
    }
    assert.deepEqual(this.errors, [], 'the store had no error');
  }
}

// Describes tests on each release and each of these kinds: tests({release, kind, redis}), where redis() gives the server of the
// kind, if it has one, once the tests run.
function describeEach(wanted, tests) {
  for (const release of releases) {
    for (const kind of wanted) {
      describe(`${release.name}, ${kind.name}`, () => {
        let redis;
        if (kind.redis) {
          before(async () => {
            redis = await RedisServer.start();
          });
          after(() => redis.stop());
        }
        tests({ release, kind, redis: () => redis });
      });
    }
  }
}

// define((test) => test(name, async (bench) => {...})): runs the tests on each release, on each of our stores.
function onEachRelease(define, wanted = () => true) {
  describeEach(kinds.filter(({ ours }) => ours).filter(wanted), ({ release, kind, redis }) => {
    const test = (name, body) =>
      it(name, () => Object.assign(new SrfBench(kind, redis(), kind.open(redis())), { release }).run(body));
    define(test, { kind, release });
  });
}

module.exports = { describeEach, connectSrf, onEachRelease, releases };
