'use strict';
// A world: a scripted drachtio server, the content of one store, and applications on it, each as a process of its own would
// be. Every handler of a call checks that it has the data of its own caller and the session of its Dialog; a test fails if
// one had not, if the store had an error, or if anything is left in the store.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { it } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../../..');
const { DrachtioServer, SDP } = require('../../../examples/drachtio-server');
const { until, within } = require('../waiting');
const { connectSrf, describeEach } = require('./bench');
const { kinds } = require('./world-stores');

// how long to wait for the event 'ack' of a dialog, which drachtio-srf may have had before the test listens
const ACK_MS = 100;
const LOOK_MS = 20;

const userOf = (address) => /sips?:([^@>;]*)@/.exec(address)?.[1];

class World {
  constructor({ kind, release, redis, options }) {
    Object.assign(this, { kind, release, redis, options });
    this.content = kind.open(redis, options);
    this.applications = new Set();
    this.owners = new WeakMap(); // by Dialog, whose data its requests must have
    this.errors = []; // of the stores
    this.wrong = []; // what handlers found
    this.ended = []; // by call that has ended, the data that its last handler had
  }

  // ---- applications

  // The store of one more process over the same content.
  async store() {
    const store = await this.content.make();
    if (store.listenerCount('error') === 0) store.on('error', (err) => this.errors.push(err));
    return store;
  }

  // A process with an application: `define(srf, world)` adds the handlers. `options` are those of session().
  async start(define, options) {
    const srf = new this.release.Srf();
    srf.store = await this.store();
    srf.use(session({ store: srf.store, app: srf, ...options }));
    define(srf, this);
    const earlier = new Set(this.server.connections);
    this.applications.add(srf);
    await connectSrf(srf, this.server);
    const methods = Object.keys(srf.app.routedMethods).map((method) => method.toLowerCase());
    srf.connection = await until(
      () =>
        [...this.server.connections].find((one) => !earlier.has(one) && methods.every((name) => one.methods.has(name))),
      'the application to be connected'
    );
    return srf;
  }

  // The process ends without a word.
  async kill(srf) {
    this.applications.delete(srf);
    srf.disconnect();
    await until(() => srf.connection.closed, 'the connection to be gone');
  }

  // Loses all dialogs, and waits until the applications are there again.
  async restartServer(methods) {
    this.server.restart();
    await this.server.routed(methods, this.applications.size);
  }

  // ---- calls

  // A call to an application -> the Call, not answered yet.
  dial(srf, opts) {
    return this.server.call({ ...opts, connectTo: srf.connection });
  }

  // A call that is answered, and of which the application has said `srf.emit('up', ...dialogs)` -> the Call, with `dialogs`.
  async call(srf, opts) {
    const up = once(srf, 'up');
    const call = this.dial(srf, opts);
    const [dialogs] = await Promise.all([up, call.answered]);
    call.dialogs = dialogs;
    call.dialog = dialogs[0];
    if (opts?.ack !== false && call.dialog) await Promise.race([once(call.dialog, 'ack'), sleep(ACK_MS)]);
    return call;
  }

  // The same for a call that the application connects to a callee -> the Call, with `callee`.
  async connect(srf, opts) {
    const [callee, call] = await Promise.all([this.server.callee(), this.call(srf, opts)]);
    return Object.assign(call, { callee });
  }

  // An INFO of a peer -> the data that its handler had.
  async info(leg) {
    const { status, body } = await leg.info('1');
    assert.equal(status, 200, 'the INFO is answered');
    return JSON.parse(body);
  }

  // ---- handlers

  // The session of a request whose call nobody has had before is empty.
  begins(req) {
    const data = { ...req.session };
    if (Object.keys(data).length > 0) this.wrong.push(`a new call has ${JSON.stringify(data)}`);
    req.session.owner = req.callingNumber;
  }

  // A Dialog, and whose data its requests must have.
  follow(dialog, owner) {
    this.owners.set(dialog, owner);
    this.#check('Dialog', dialog, dialog.session);
    dialog.on('info', (req, res) => {
      this.#check('INFO', dialog, req.session);
      res.send(200, { body: JSON.stringify(req.session) });
    });
    dialog.on('modify', (req, res) => {
      this.#check('re-INVITE', dialog, req.session);
      res.send(200, { body: SDP('app') });
    });
    dialog.on('destroy', (bye) => {
      this.#check('BYE', dialog, bye.session);
      this.ended.push({ ...bye.session });
    });
    return dialog;
  }

  // From now on the requests of a Dialog must have another owner's data.
  belongs(dialog, owner) {
    this.owners.set(dialog, owner);
  }

  #check(what, dialog, data) {
    const owner = this.owners.get(dialog);
    if (data?.owner !== owner) this.wrong.push(`${what} of ${owner} has ${JSON.stringify(data)}`);
    if (data !== dialog.session) this.wrong.push(`${what} of ${owner} has not the session of its Dialog`);
  }

  // The handlers of requests that reach the stack: of a dialog without a Dialog object, and after a restart of the server.
  // The caller is the user of From; in a request that the server makes itself, of To.
  handleInStack(srf, methods) {
    for (const method of methods) {
      srf[method]((req, res) => {
        const owner = userOf(req.get(req.source === 'network' ? 'from' : 'to'));
        const data = { ...req.session };
        if (data.owner !== owner) this.wrong.push(`${req.method} of ${owner} has ${JSON.stringify(data)}`);
        if (method === 'bye') this.ended.push(data);
        res.send(200, { body: JSON.stringify(data) });
      });
    }
  }

  // ---- what is stored

  // The data under a key, as another process reads it; undefined if there is none.
  stored(id) {
    return this.content.read(id);
  }

  becomes(id, data, what = `${JSON.stringify(data)} to be stored as ${id}`) {
    return until(async () => {
      const found = await this.stored(id);
      return found && Object.entries(data).every(([name, value]) => found[name] === value);
    }, what);
  }

  // The keys by which sessions are found.
  keys() {
    return this.content.keys();
  }

  // Waits until there are as many of them, and gives their ids.
  async hasKeys(count) {
    const found = await until(async () => {
      const keys = await this.keys();
      return keys.length === count && keys;
    }, `${count} keys in the store`);
    return found.map((name) => name.slice('mks:'.length));
  }

  // The names of all that is stored.
  left() {
    return this.content.left();
  }

  async becomesEmpty() {
    let left;
    const empty = async () => (left = await this.left()).length === 0;
    await until(empty, 'the store to become empty').catch(() => assert.deepEqual(left, [], 'nothing is left'));
  }

  // Checks again and again for some time.
  async during(ms, check) {
    for (const begun = Date.now(); Date.now() - begun < ms; await sleep(LOOK_MS)) await check();
  }

  async run(body) {
    if (this.redis) await this.redis.raw('FLUSHALL');
    this.server = await DrachtioServer.start();
    try {
      await within(body(this), 'the test to end');
      assert.deepEqual(this.wrong, [], 'each handler has the data of its caller');
      await this.becomesEmpty();
    } finally {
      this.applications.forEach((srf) => srf.disconnect());
      await this.server.stop();
      await this.content.close();
    }
    assert.deepEqual(this.wrong, [], 'each handler has the data of its caller');
    assert.deepEqual(this.errors, [], 'the store had no error');
  }
}

// define((test, {kind, release}) => test(name, [needs,] async (world) => {...})): runs the tests on each release of
// drachtio-srf and each store. `needs` is a list of what a store must have: 'processes', 'claims', 'ttl' (world-stores.js);
// an object of it has options for the store.
function inEachWorld(define) {
  describeEach(kinds, ({ release, kind, redis }) => {
    const test = (name, ...rest) => {
      const body = rest.pop();
      const [needs = [], options] = rest;
      if (needs.some((need) => !kind[need])) return;
      it(name, () => new World({ kind, release, redis: redis(), options }).run(body));
    };
    define(test, { kind, release });
  });
}

module.exports = { inEachWorld };
