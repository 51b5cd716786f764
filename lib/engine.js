'use strict';
// One native engine, seen from JavaScript: the callbacks of pending operations, their completions, the deadlines, and
// which sessions are live, that is, held by a request that is being handled.

const debug = require('debug')('drachtio:session');
const Callbacks = require('./callbacks');
const diagnostics = require('./diagnostics');
const promised = require('./promised');
const SessionError = require('./errors');
const { NativeEngine } = require('./native');

const engines = new WeakMap();

const TICK = 50; // ms between looks at the deadlines
const OF_STATE = new Set([
  'ERR_SESSION_TIMEOUT',
  'ERR_SESSION_STORE_UNAVAILABLE',
  'ERR_SESSION_STORE_AUTH',
  'ERR_SESSION_STORE_REFUSED',
  'ERR_SESSION_STORE'
]);
const SWEEP = 1024; // live entries before the first look for those that were never let go

class Engine {
  // `create(wake)` makes the native engine
  constructor(store, create) {
    this.store = store;
    // weak: an engine that nobody uses any more, with its store, is collected although its wake-up stands
    const self = new WeakRef(this);
    try {
      this.native = create(() => self.deref()?.drain());
    } catch (err) {
      throw SessionError.from(err);
    }
    // false while a store in JavaScript says that it is disconnected
    this.ready = true;
    // whether the native engine asks the store nothing, because it has failed repeatedly
    this.down = false;
    this.waiting = new Callbacks();
    this.connecting = false;
    this.timer = null;
    // by name; without a Map, whose outgrown tables keep young entries alive until a full collection
    this.live = Object.create(null);
    this.liveCount = 0;
    this.sweepAt = SWEEP;
    // by the uuid of a session that is being updated, what waits for that
    this.updates = new Map();
    // what has been told of the store's state, until it is better
    this.told = new Set();
    // whether somebody was told, where nobody listens
    this.warned = false;
    // whether operations that are done at once may have something to tell besides
    this.eventful = false;
    engines.set(store, this);
  }

  // The engine of a store; one is made for a store written in JavaScript.
  static of(store) {
    if (store === null || typeof store !== 'object') {
      throw new SessionError('ERR_SESSION_OPTION', `\`store\` must be a store, not ${String(store)}`);
    }
    const engine = engines.get(store);
    if (engine) return engine;
    const JavaScriptStore = require('./javascript-store');
    return new JavaScriptStore(store);
  }

  // Starts an operation of the native engine. The callback comes in the same turn if it is done at once.
  run(callback, method, ...args) {
    if (diagnostics.operation.hasSubscribers) callback = diagnostics.timed(this.store, method, callback);
    const op = this.waiting.next();
    let value;
    try {
      value = this.native[method](op, ...args);
    } catch (err) {
      return callback(SessionError.from(err));
    }
    if (value !== undefined) {
      callback(null, value);
      if (this.eventful) this.drain();
      return;
    }
    this.waiting.set(op, callback);
    this.hold();
    this.work();
  }

  // As run(), for applications: `read` turns the native value into theirs.
  ask(callback, read, method, ...args) {
    return promised(callback, (done) => {
      const settle = (err, value) => {
        let result;
        try {
          if (!err) result = read(value);
        } catch (thrown) {
          err = thrown;
        }
        done(err, result);
      };
      this.run(settle, method, ...args);
    });
  }

  // Settles what was completed. An error thrown by one callback is the process's, as anywhere, and not the others'.
  drain() {
    const flat = this.native.drain();
    for (let i = 0; i < flat.length; i += 3) {
      const [op, code, value] = [flat[i], flat[i + 1], flat[i + 2]];
      try {
        if (op === 0) {
          this.event(code, value);
          continue;
        }
        const callback = this.waiting.take(op);
        // what was found in this process says nothing of the store
        if (code === null && this.told.size > 0 && this.ready && !this.native.restless) this.told.clear();
        if (callback) callback(code === null ? null : new SessionError(code, value), value);
      } catch (err) {
        process.nextTick(() => {
          throw err;
        });
      }
    }
    this.work();
    if (!this.busy) this.timer?.unref();
  }

  // what a store in JavaScript has to be asked; a native store has nothing to do here
  work() {}

  event(name, [first, second]) {
    if (name === 'evict') {
      const { decode } = require('./codec');
      this.store.emit('evict', first, decode(second));
      return;
    }
    this.connecting = false;
    debug('store: %s %s', name, second || '');
    if (name === 'breaker') {
      this.down = first === 'true';
      diagnostics.breaker.publish({ store: this.store, open: this.down });
      return;
    }
    if (name === 'connect') this.told.clear();
    if (name === 'error') this.report(new SessionError(first, second));
    else this.store.emit(name, ...(second ? [new SessionError(first, second)] : []));
  }

  // Tells of an error that nobody waits for; of the store's own state once, until something has succeeded.
  report(err) {
    if (!err) return;
    debug('%s: %s', err.code, err.message);
    if (OF_STATE.has(err.code)) {
      if (this.told.has(err.code)) return;
      this.told.add(err.code);
    }
    if (this.store.listenerCount?.('error') > 0) this.store.emit('error', err);
    else if (!this.warned) {
      this.warned = true;
      process.emitWarning(`${err.message} (listen for 'error' on the store to hear of every such error)`, {
        type: 'SessionWarning',
        code: err.code
      });
    }
  }

  get busy() {
    return this.waiting.size > 0 || this.connecting;
  }

  // Keeps the process alive, and looks at the deadlines, while something is pending.
  hold() {
    if (this.timer) return void this.timer.ref();
    let idle = 0;
    this.timer = setInterval(() => {
      this.drain();
      if (this.busy || this.native.restless) {
        idle = 0;
        this.native.expire();
        this.drain();
      } else if (++idle > 20) {
        clearInterval(this.timer);
        this.timer = null;
      }
    }, TICK);
  }

  // The live session that has this key, if there is one.
  find(name) {
    const session = this.live[name]?.deref();
    return session && !session.removed ? session : undefined;
  }

  enlist(name, session) {
    if (this.live[name] === undefined) this.liveCount++;
    this.live[name] = session.reference;
    if (this.liveCount < this.sweepAt) return;
    for (const key of Object.keys(this.live)) {
      if (!this.live[key].deref()) this.forget(key);
    }
    this.sweepAt = Math.max(SWEEP, this.liveCount * 2);
  }

  strike(name, session) {
    if (this.live[name] === session.reference) this.forget(name);
  }

  forget(name) {
    delete this.live[name];
    this.liveCount--;
  }
}

module.exports = { Engine, NativeEngine };
