'use strict';
// What the tests of faults stand on: a Redis that keeps its data, a proxy before it, a store behind that, and a host
// whose application says what its handlers saw. `other` is a store that goes to Redis directly, as another process does.

const host = require('../../../examples/classic-host');
const session = require('../../..');
const { scaled } = require('../machine');
const { Proxy } = require('../network/proxy');
const { connect, load, startRedis } = require('../sessions');
const { until, within } = require('../waiting');

// The time that a test gives something is for an idle machine.
const TIMES = ['timeout', 'commandTimeout', 'connectTimeout'];

function onThisMachine(options = {}) {
  const times = TIMES.filter((name) => options[name] !== undefined).map((name) => [name, scaled(options[name])]);
  return { ...options, ...Object.fromEntries(times) };
}

const AWAY = new Set(['ERR_SESSION_STORE_AUTH', 'ERR_SESSION_STORE_UNAVAILABLE', 'ERR_SESSION_TIMEOUT']);
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always'];

async function faultBench(t, { redisArgs = DURABLE, storeOptions, ...sessionOptions } = {}) {
  const redis = await startRedis(t, ...redisArgs);
  const proxy = await Proxy.start(redis);
  t.after(() => proxy.stop());
  const bench = new FaultBench(t, redis, proxy);
  bench.store = bench.connect(storeOptions);
  await bench.store.length();
  bench.app = bench.host(bench.store, sessionOptions);
  bench.other = connect(t, { port: redis.port, cache: false });
  return bench;
}

class FaultBench {
  constructor(t, redis, proxy) {
    Object.assign(this, { t, redis, proxy, failures: [], seen: [] });
  }

  // A store behind the proxy. Without a near cache: what is asked for is asked of Redis.
  connect(options) {
    const store = {};
    // before connect() closes it, which would wait for the pending writes
    this.t.after(() => store.made?.close({ timeout: 50 }));
    store.made = connect(this.t, { port: this.proxy.port, cache: false, ...onThisMachine(options) });
    return store.made;
  }

  // A host with handlers that note what they see, put `x-set` into the session, save it at once with `x-save`, and answer 200.
  host(store, options) {
    const app = host();
    const { timeout, ...others } = onThisMachine(options);
    this.timeout = timeout;
    app.on('failure', (err) => this.failures.push(err));
    app.use(session({ store, app, ...(timeout && { timeout }), ...others }));
    const handle = (req, res) => {
      const { session: data, mks, method } = req;
      this.seen.push({ method, id: req.id, degraded: mks.degraded, data: { ...data } });
      const set = req.get('x-set');
      if (set) Object.assign(data, JSON.parse(set));
      if (req.get('x-save')) mks.save(() => undefined);
      if (method !== 'ACK' && !req.get('x-wait')) res.send(200);
    };
    for (const method of ['invite', 'ack', 'info', 'bye', 'cancel', 'options', 'register']) app[method](handle);
    return app;
  }

  saw(method, id) {
    return this.seen.filter((entry) => entry.method === method && entry.id === id);
  }

  // A call that was accepted and acknowledged, with data in its session.
  async call(callId, data = { callId }) {
    const call = this.app.peer.invite({ callId, headers: { 'x-set': JSON.stringify(data) } });
    await within(call.final(), `the answer to INVITE ${callId}`);
    await within(call.ack(), `the ACK of ${callId}`);
    return call;
  }

  info(call, data) {
    return within(call.request('INFO', { headers: { 'x-set': JSON.stringify(data) } }), 'the answer to INFO');
  }

  bye(call) {
    return within(call.bye(), `the answer to BYE ${call.callId}`);
  }

  // the final responses that have left, as 'INFO call-id 200'
  finals() {
    const finals = this.app.sent.filter(({ statusCode }) => statusCode >= 200);
    return finals.map(({ method, callId, statusCode }) => `${method} ${callId} ${statusCode}`).toSorted();
  }

  // The Call-IDs in Redis, without tombstones.
  async ids() {
    return (await this.redis.names()).map((place) => place.replace('sess:mks:', '')).toSorted();
  }

  async become(ids) {
    const wanted = JSON.stringify(ids.toSorted());
    let last;
    const same = async () => (last = JSON.stringify(await this.ids())) === wanted;
    await until(same, `${wanted} in Redis`).catch((err) => {
      throw new Error(`${err.message}, not ${last}`);
    });
  }

  // As another process finds it; that may have to connect again first.
  async stored(callId) {
    const look = async () => {
      try {
        return { mks: await load(this.other, callId) };
      } catch (err) {
        if (AWAY.has(err.code)) return null;
        throw err;
      }
    };
    const { mks } = await until(look, 'Redis to be reached by another process');
    return mks && { ...mks.session };
  }

  codes() {
    return [...new Set(this.store.errors.map(({ code }) => code))];
  }
}

module.exports = { DURABLE, FaultBench, faultBench };
