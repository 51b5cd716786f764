'use strict';
// A history: random operations of several processes on one session, with random faults between them and Redis, all of it
// from one number. What is done is the same each time; how it interleaves on the wire is not.

const { setTimeout: sleep } = require('node:timers/promises');
const { Actor, RemoteActor } = require('./actor');
const { Model } = require('./model');
const { scaled } = require('../machine');
const { Proxy } = require('../network/proxy');
const { random } = require('../random');
const { load } = require('../sessions');
const { within } = require('../waiting');

const ACTORS = 3;
// Where connections are lost: short, as what hangs is given up and tried again.
const HURRY = { timeout: 400, commandTimeout: 200 };
const NO_HURRY = { timeout: 10000, commandTimeout: 10000 };

// such times on this machine
const times = ({ timeout, commandTimeout }) => ({ timeout: scaled(timeout), commandTimeout: scaled(commandTimeout) });

// what the proxy of a process does: a moment's fault, or one until it is mended
const FAULTS = [
  (proxy) => proxy.reset(),
  (proxy) => proxy.cut(),
  (proxy, below) => void proxy.after(below(300), 'toClient', 'reset'),
  (proxy, below) => void proxy.after(below(300), 'toClient', 'cut'),
  (proxy, below) => void proxy.after(below(800), 'toServer', 'reset'),
  (proxy, below) => void proxy.after(below(800), 'toServer', 'cut'),
  (proxy, below) => void proxy.after(below(200), 'toClient', { insert: '!?' }),
  (proxy, below) => void proxy.after(below(500), 'toServer', 'hang'),
  (proxy, below) => void proxy.after(below(200), 'toClient', 'hang'),
  (proxy) => proxy.hang('toClient'),
  (proxy) => proxy.hang(),
  (proxy) => proxy.stall('toClient'),
  (proxy) => proxy.stall('toServer'),
  (proxy, below) => proxy.delay(below(15)),
  (proxy) => {
    proxy.reject();
    proxy.reset();
  }
];

class History {
  // `redis`: a RedisServer; `other`: a store that goes to it directly; `remote`: in processes of their own
  constructor({ seed, redis, other, remote = false }) {
    Object.assign(this, { seed, redis, other, remote, ops: [], faults: [], timers: new Set() });
    const next = random(seed);
    this.below = (limit) => Math.floor(next() * limit);
    this.name = `h${seed}`;
    this.moment = 0;
    this.handles = [];
    this.lastHandle = 0;
    this.lastKey = 0;
    this.faultiness = [0, 0, 8, 8, 3][this.below(5)];
    this.cache = this.below(3) === 0;
  }

  async run() {
    this.proxies = await Promise.all(Array.from({ length: ACTORS }, () => Proxy.start(this.redis)));
    const Kind = this.remote ? RemoteActor : Actor;
    this.actors = this.proxies.map(
      ({ port }) => new Kind({ port, cache: this.cache, ...times(this.faultiness > 0 ? HURRY : NO_HURRY) })
    );
    // the keys that a process has seen, and can so ask for
    this.knows = this.actors.map(() => new Set());
    try {
      await this.play();
      this.model = new Model({
        ops: this.ops,
        faulty: this.faultiness > 0,
        cached: this.cache,
        final: await this.final()
      });
      this.model.check();
    } finally {
      this.timers.forEach(clearTimeout);
      if (this.remote) await Promise.all(this.actors.map((actor) => actor.end()));
      await Promise.all(this.proxies.map((proxy) => proxy.stop()));
    }
    return [...this.model.wrong, ...this.told];
  }

  async play() {
    const running = [this.begin()];
    if (this.below(4) > 0) await running[0];
    for (let steps = 8 + this.below(30); steps > 0; steps--) {
      if (this.faultiness > 0 && this.below(this.faultiness) === 0) await this.fault();
      const step = this.step();
      if (!step) continue;
      running.push(step);
      const pause = this.below(9);
      if (pause < 3) await within(step, `an operation of ${this.name}`);
      else if (pause < 5) await sleep(this.below(8));
    }
    await within(Promise.all(running), `the operations of ${this.name}`);
    this.timers.forEach(clearTimeout);
    await Promise.all(this.proxies.map((proxy) => proxy.mend()));
    const ended = this.actors.map((actor) => actor.perform({ kind: 'close', timeout: scaled(10000) }));
    const closed = await within(Promise.all(ended), `the stores of ${this.name} to close`);
    const given = closed.flatMap(({ errors = [], code }) => (code ? [{ code }] : errors));
    this.told = given.filter(({ code }) => code === 'ERR_SESSION_GIVEN_UP').map((err) => JSON.stringify(err));
  }

  // Sends an operation to a process, and notes what came of it.
  async operate(actor, op) {
    const entry = { actor, ...op, start: ++this.moment, end: Infinity, outcome: {} };
    this.ops.push(entry);
    entry.outcome = await this.actors[actor].perform(op);
    entry.end = ++this.moment;
    return entry.outcome;
  }

  async begin() {
    const actor = this.below(ACTORS);
    const key = this.newKey(actor);
    if (this.below(3) === 0) {
      await this.operate(actor, { kind: 'request', method: 'INVITE', key, keys: [key], toTag: false });
      return;
    }
    const keys = this.below(2) === 0 ? [key] : [key, this.newKey(actor)];
    const handle = this.newHandle(actor);
    await this.operate(actor, { kind: 'create', handle: handle.name, keys });
  }

  newKey(actor) {
    const key = `${this.name}-${++this.lastKey}`;
    this.knows[actor].add(key);
    return key;
  }

  newHandle(actor) {
    const handle = { actor, name: `d${++this.lastHandle}`, written: 0 };
    this.handles.push(handle);
    return handle;
  }

  step() {
    const handle = this.handles[this.below(this.handles.length || 1)];
    if (!handle || this.below(5) === 0) return this.load();
    const { actor, name } = handle;
    const on = (kind, more) => this.operate(actor, { kind, handle: name, ...more });
    switch (this.below(16)) {
      case 0:
      case 1:
      case 2:
        return on('update', { ...this.change(handle), token: `${name}:${this.moment}` });
      case 3:
      case 4:
        return on('save', { ...this.change(handle), options: { ifUnchanged: true } });
      case 5:
        return on('addKey', { ...this.change(handle), key: this.newKey(actor) });
      case 6:
        return on('delKey', { key: this.known(actor) });
      case 7:
        return this.below(4) === 0 ? on('destroy') : undefined;
      case 8:
      case 9: {
        const property = `r${++this.lastHandle}`;
        const changes = { [property]: 1 };
        return this.operate(actor, {
          kind: 'request',
          method: 'INFO',
          key: this.known(actor),
          property,
          value: 1,
          changes
        });
      }
      case 10:
        return this.below(3) === 0
          ? this.operate(actor, { kind: 'request', method: 'BYE', key: this.known(actor) })
          : undefined;
      default:
        return on('save', this.change(handle));
    }
  }

  // a handle's next number in its property, or no property
  change(handle) {
    const value = this.below(6) === 0 ? null : ++handle.written;
    const property = handle.name;
    return { property, value, changes: { [property]: value } };
  }

  known(actor) {
    const keys = [...this.knows[actor]];
    return keys[this.below(keys.length)];
  }

  async load() {
    const actor = this.below(ACTORS);
    const all = [...new Set(this.knows.flatMap((keys) => [...keys]))];
    const key = all[this.below(all.length)];
    const name = `d${++this.lastHandle}`;
    const { found, keys } = await this.operate(actor, { kind: 'load', handle: name, key });
    if (!found) return;
    keys.forEach((each) => this.knows[actor].add(each.slice('mks:'.length)));
    this.handles.push({ actor, name, written: 0 });
  }

  async fault() {
    const actor = this.below(ACTORS);
    const proxy = this.proxies[actor];
    const which = this.below(FAULTS.length + 1);
    const lasts = 10 + this.below(300);
    this.faults.push({ moment: this.moment, actor, which, lasts });
    if (which === FAULTS.length) return void (await this.redis.raw('SCRIPT FLUSH'));
    await FAULTS[which](proxy, this.below);
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      proxy.mend();
    }, lasts);
    this.timers.add(timer);
  }

  // what another process finds in the end
  async final() {
    const found = {};
    let data = null;
    for (let key = 1; key <= this.lastKey; key++) {
      const id = `${this.name}-${key}`;
      const mks = await load(this.other, id);
      found[id] = mks ? mks.uuid : null;
      if (mks) data = { ...mks.session };
    }
    return { found, data };
  }

  toString() {
    const lines = this.ops.map(({ start, end, ...op }) => `${start}-${end} ${JSON.stringify(op)}`);
    const faults = this.faults.map((fault) => `fault ${JSON.stringify(fault)}`);
    return [`SEED=${this.seed}`, ...lines, ...faults, JSON.stringify(this.model?.final)].join('\n');
  }
}

module.exports = { History };
