'use strict';
// One process in a history: it does what it is told to sessions and says what came of it. In this process, or, forked,
// in one of its own.

const { fork } = require('node:child_process');
const session = require('../../..');
const { message } = require('../message');

const { RedisStore, Session } = session;

class Actor {
  // `timeout` ms for an operation, `commandTimeout` for a connection
  constructor({ port, timeout, commandTimeout, cache = false }) {
    this.store = new RedisStore({
      port,
      poolSize: 2,
      commandTimeout,
      connectTimeout: commandTimeout,
      ...(cache ? {} : { cache })
    });
    this.errors = [];
    this.store.on('error', ({ code, message: text }) => this.errors.push({ code, message: text }));
    this.attach = session({ store: this.store, timeout });
    this.handles = new Map();
  }

  // -> what came of it; {code, message} if it failed
  async perform({ kind, ...op }) {
    try {
      return (await this[kind](op)) || {};
    } catch (err) {
      return { code: err.code || 'no code', message: err.message, newer: err.newer && { ...err.newer } };
    }
  }

  async create({ handle, keys }) {
    const mks = new Session({ store: this.store });
    keys.forEach((key) => mks.set(key));
    this.handles.set(handle, mks);
    const { uuid } = mks;
    const failure = await mks.save().then(() => ({}), ({ code, message: text }) => ({ code, message: text })); // prettier-ignore
    return { uuid, ...failure };
  }

  async load({ handle, key }) {
    const mks = await Session.loadFromStorage({ store: this.store }, key);
    if (!mks) return { found: false };
    this.handles.set(handle, mks);
    return { found: true, uuid: mks.uuid, keys: mks.keys, data: { ...mks.session } };
  }

  // what follows works on the data object in this same turn
  change(handle, changes = {}) {
    const mks = this.handles.get(handle);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null) delete mks.session[name];
      else mks.session[name] = value;
    }
    return mks;
  }

  async save({ handle, changes, options }) {
    await this.change(handle, changes).save(...(options ? [options] : []));
  }

  async update({ handle, changes, token }) {
    const count = await this.change(handle, changes).update((data) => {
      data.count = (data.count || 0) + 1;
      data.tokens = [...(data.tokens || []), token];
      return data.count;
    });
    return { count };
  }

  async addKey({ handle, changes, key }) {
    await this.change(handle, changes).set(key).save();
  }

  async delKey({ handle, key }) {
    await this.change(handle).del(key);
  }

  async destroy({ handle }) {
    await this.change(handle).destroy();
  }

  // Writers that each have loaded the session for themselves: `each` times one after the other they update() it, or save
  // a property of their own and now and then a new one.
  async write({ key, names, each, how }) {
    const one = async (name) => {
      const mks = await Session.loadFromStorage({ store: this.store }, key);
      for (let i = 1; i <= each; i++) {
        if (how === 'update') await mks.update((data) => void (data.count = (data.count || 0) + 1));
        else {
          mks.session[name] = i;
          if (i % 25 === 0) mks.session[`${name} ${i}`] = true;
          await mks.save();
        }
      }
    };
    await Promise.all(names.map(one));
  }

  // a request through the middleware, whose handler makes changes and answers
  async request({ method, key, changes, toTag = true }) {
    const { req, res, left } = message(method, key, toTag);
    const seen = await new Promise((resolve) => {
      this.attach(req, res, () => {
        const { uuid, degraded } = req.mks;
        resolve({ uuid, degraded, data: { ...req.session } });
        Object.assign(req.session, changes);
        res.send(200);
      });
    });
    await left;
    return seen;
  }

  async close({ timeout }) {
    await this.store.close({ timeout });
    return { errors: this.errors };
  }
}

// An actor in a process of its own, with the same perform().
class RemoteActor {
  constructor(settings) {
    this.child = fork(__filename, [JSON.stringify(settings)], { env: { ...process.env, NODE_TEST_CONTEXT: '' } });
    this.waiting = new Map();
    this.last = 0;
    this.ended = new Promise((resolve) => {
      this.child.on('exit', (code, signal) => resolve({ code, signal }));
    });
    this.child.on('message', ({ id, outcome }) => {
      this.waiting.get(id)(outcome);
      this.waiting.delete(id);
    });
  }

  perform(op) {
    return new Promise((resolve) => {
      this.waiting.set(++this.last, resolve);
      this.child.send({ id: this.last, op });
    });
  }

  // how the process ends by itself when there is nothing left to do
  end() {
    this.child.disconnect();
    return this.ended;
  }
}

if (require.main === module) {
  const actor = new Actor(JSON.parse(process.argv[2]));
  process.on('message', async ({ id, op }) => process.send({ id, outcome: await actor.perform(op) }));
}

module.exports = { Actor, RemoteActor };
