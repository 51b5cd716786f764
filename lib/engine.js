'use strict';
// One native engine, seen from JavaScript: the callbacks of pending operations, their completions, and the deadlines.

const debug = require('debug')('drachtio:session');
const Callbacks = require('./callbacks');
const diagnostics = require('./diagnostics');
const promised = require('./promised');
const Live = require('./live');
const Recent = require('./recent');
const SessionError = require('./errors');
const native = require('./native');

const engines = new WeakMap();

// What an engine is asked, by the names that diagnostics give. A place of its own for each call: V8 has a slower way for
// native functions that it doesn't know beforehand.
function start(operation, engine, op, first, second, third, fourth, fifth) {
  switch (operation) {
    case 'load':
      return native.engineLoad(engine, op, first, second, third);
    case 'save':
      return native.engineSave(engine, op, first, second, third, fourth, fifth);
    case 'removeKey':
      return native.engineRemoveKey(engine, op, first, second, third, fourth);
    case 'get':
      return native.engineGet(engine, op, first);
    case 'set':
      // whether it is a string, which the native side writes as JSON
      return fourth
        ? native.engineSetString(engine, op, first, second, third)
        : native.engineSet(engine, op, first, second, third);
    default:
      return OPERATIONS[operation](engine, op, first, second, third, fourth);
  }
}

// those that nobody waits for so often
const OPERATIONS = {
  swap: native.engineSwap,
  destroy: native.engineDestroy,
  delete: native.engineDelete,
  touch: native.engineTouch,
  all: native.engineAll,
  ids: native.engineIds,
  length: native.engineLength,
  clear: native.engineClear,
  close: native.engineClose
};

const TICK = 50; // ms between looks at the deadlines
const STATS_EVERY = 1000; // ms
const OF_STATE = new Set([
  'ERR_SESSION_TIMEOUT',
  'ERR_SESSION_STORE_UNAVAILABLE',
  'ERR_SESSION_STORE_AUTH',
  'ERR_SESSION_STORE_REFUSED',
  'ERR_SESSION_STORE'
]);

// Weak, and not made where `this` is in reach of a closure: an engine that nobody uses any more is collected, with its
// store, although its wake-up stands.
const wakeUp = (engine) => () => engine.deref()?.drain();

// An error thrown by one callback is the process's, as anywhere, and not the others'.
const rethrow = (err) =>
  process.nextTick(() => {
    throw err;
  });

class Engine {
  // `create(wake)` makes the native engine
  constructor(store, create) {
    this.store = store;
    try {
      this.native = create(wakeUp(new WeakRef(this)));
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
    // whether the process is kept alive
    this.holding = false;
    // whether what this turn of the event loop has asked for is still to be handed over
    this.gathering = false;
    this.handOver = () => {
      this.gathering = false;
      this.attend(native.engineFlush);
      const { sent } = this;
      this.sent = [];
      for (const callback of sent) {
        try {
          callback();
        } catch (err) {
          rethrow(err);
        }
      }
    };
    // who wants to know of it
    this.sent = [];
    // called with pairs, which follow each other
    this.settle = (...flat) => {
      for (let i = 0; i < flat.length; i += 2) this.complete(flat[i], flat[i + 1]);
    };
    this.live = new Live();
    this.recent = new Recent();
    // by the uuid of a session that is being updated, what waits for that
    this.updates = new Map();
    // what has been told of the store's state, until it is better
    this.told = new Set();
    // whether somebody was told, where nobody listens
    this.warned = false;
    // when the statistics were published last
    this.toldAt = 0;
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

  // Starts an operation of the native engine, whose arguments follow. The callback comes in the same turn if it is done
  // at once.
  run(callback, method, first, second, third, fourth, fifth) {
    if (diagnostics.operation.hasSubscribers) callback = diagnostics.timed(this.store, method, callback);
    const op = this.waiting.next();
    let value;
    try {
      value = start(method, this.native, op, first, second, third, fourth, fifth);
    } catch (err) {
      return callback(SessionError.from(err));
    }
    if (value !== undefined) {
      callback(null, value);
      if (this.eventful) this.drain();
      return;
    }
    this.waiting.set(op, callback);
    if (!this.holding) this.hold();
    if (!this.gathering) this.gather();
    this.work();
  }

  // Whether a session is certainly what the store has, so that nobody has to be asked.
  knows(record) {
    return !diagnostics.operation.hasSubscribers && native.recordIsCurrent(record);
  }

  // What one turn of the event loop asks for goes to the store together, when the turn is over.
  gather() {
    this.gathering = true;
    process.nextTick(this.handOver);
  }

  // Calls back when what was asked for has been handed over, if it was not done at once.
  whenSent(callback) {
    if (this.gathering) this.sent.push(callback);
  }

  // As run(), for applications: `read` turns the native value into theirs.
  ask(callback, read, method, first, second, third, fourth) {
    return promised(callback, (done) => this.run(done, method, first, second, third, fourth), read);
  }

  // Settles what was completed.
  drain() {
    this.attend(native.engineDrain);
    this.work();
    if (this.holding && !this.busy) this.letGo();
  }

  // Has the native engine do what no operation waits for. A defect there is told of; what waits ends by its deadline.
  attend(task) {
    try {
      task(this.native, this.settle);
    } catch (err) {
      this.report(SessionError.from(err));
    }
  }

  // One pair of those that engineDrain() gives.
  complete(op, value) {
    try {
      if (op === 0) return this.event(...value);
      if (op < 0) return this.waiting.take(-op)?.(new SessionError(...value), null);
      const callback = this.waiting.take(op);
      // what was found in this process says nothing of the store
      if (this.told.size > 0 && this.ready && !this.restless) this.told.clear();
      if (callback) callback(null, value);
    } catch (err) {
      rethrow(err);
    }
  }

  // what a store in JavaScript has to be asked; a native store has nothing to do here
  work() {}

  event(name, first, second) {
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

  // whether engineExpire() has something to do though nobody waits for an operation
  get restless() {
    return native.engineRestless(this.native);
  }

  // What the engine has done.
  stats() {
    return JSON.parse(native.engineStats(this.native));
  }

  // Keeps the process alive, and looks at the deadlines, while something is pending.
  hold() {
    this.holding = true;
    if (this.timer) return void this.timer.ref();
    let idle = 0;
    this.timer = setInterval(() => {
      this.drain();
      this.tell();
      if (this.busy || this.restless) {
        idle = 0;
        this.attend(native.engineExpire);
        this.drain();
      } else if (++idle > 20) {
        clearInterval(this.timer);
        this.timer = null;
      }
    }, TICK);
  }

  // Publishes the statistics, if somebody listens.
  tell() {
    const now = performance.now();
    if (!diagnostics.stats.hasSubscribers || now - this.toldAt < STATS_EVERY) return;
    this.toldAt = now;
    diagnostics.stats.publish({ store: this.store, stats: this.stats() });
  }

  letGo() {
    this.holding = false;
    this.timer?.unref();
  }

  // The live session that has this key, if there is one.
  find(id) {
    const session = this.live.get(id);
    return session && !session.removed ? session : undefined;
  }
}

module.exports = { Engine };
