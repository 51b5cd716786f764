'use strict';
// Engine: one native engine and its store, as JavaScript sees them. Starts operations, calls back when they are complete,
// and looks at the deadlines while operations are pending.

const debug = require('debug')('drachtio:session');
const diagnostics = require('../diagnostics');
const { SessionError } = require('../errors');
const rethrow = require('../rethrow');
const { decode } = require('../session/codec');
const Registry = require('../session/registry');
const Callbacks = require('./callbacks');
const native = require('./index');
const start = require('./operations');
const Reports = require('./reports');
const thrown = require('./thrown');

const TICK = 50; // ms between looks at the deadlines
const IDLE_TICKS = 20; // after which the timer stops

// Weak, and made where no closure reaches `this`: an engine that the application has dropped is collected with its store,
// although the native engine has its wake-up.
const wakeUp = (engine) => () => engine.deref()?.drain();

class Engine {
  // `create(wake)` makes the native engine
  constructor(store, create) {
    this.store = store;
    try {
      this.native = create(wakeUp(new WeakRef(this)));
    } catch (err) {
      throw thrown(err);
    }
    // false while a JavaScript store says that it is disconnected
    this.connected = true;
    // whether the store is making its first attempt to connect
    this.connecting = false;
    this.breakerOpen = false;
    // whether a session may have a TTL of less than some seconds
    this.ttlMayBeShort = false;
    // whether operations that complete at once may have caused events
    this.emitsEvents = false;
    this.pending = new Callbacks();
    this.reports = new Reports(store);
    // the live sessions of this store
    this.sessions = new Registry();
    // by the uuid of a session, its updates under way (session/update.js)
    this.updates = new Map();
    this.timer = null;
    // whether the timer keeps the process alive
    this.hasRef = false;
    this.flushScheduled = false;
    // callbacks for when the operations of this turn are written
    this.written = [];
    this.flush = () => {
      this.flushScheduled = false;
      this.runInBackground(native.engineFlush);
      const { written } = this;
      this.written = [];
      for (const callback of written) {
        try {
          callback();
        } catch (err) {
          rethrow(err);
        }
      }
    };
    // engineDrain() calls it with pairs of arguments
    this.settle = (...flat) => {
      for (let i = 0; i < flat.length; i += 2) this.complete(flat[i], flat[i + 1]);
    };
  }

  // Starts an operation of the native engine, whose arguments follow. The callback comes in the same turn if the operation
  // completes at once.
  run(callback, operation, first, second, third, fourth, fifth, sixth) {
    if (diagnostics.operation.hasSubscribers) callback = diagnostics.timed(this.store, operation, callback);
    const op = this.pending.next();
    let value;
    try {
      value = start(operation, this.native, op, first, second, third, fourth, fifth, sixth);
    } catch (err) {
      return callback(thrown(err));
    }
    if (value !== undefined) {
      callback(null, value);
      if (this.emitsEvents) this.drain();
      return;
    }
    this.pending.set(op, callback);
    if (!this.hasRef) this.ref();
    if (!this.flushScheduled) this.scheduleFlush();
    this.callStore();
  }

  // Whether a record is certainly equal to what the store has, so that a load would bring nothing. With a subscriber to
  // operations the load is made all the same, so that it is published.
  isCurrent(record) {
    return !diagnostics.operation.hasSubscribers && native.engineIsCurrent(this.native, record);
  }

  // The operations of one turn of the event loop are written together, when the turn ends.
  scheduleFlush() {
    this.flushScheduled = true;
    process.nextTick(this.flush);
  }

  // Calls back when the operations of this turn are written to the store, unless all were complete at once.
  whenWritten(callback) {
    if (this.flushScheduled) this.written.push(callback);
  }

  // Completes the operations that the store has answered.
  drain() {
    this.runInBackground(native.engineDrain);
    this.callStore();
    if (this.hasRef && !this.isBusy) this.unref();
  }

  // Calls a native function that no operation waits for. A panic is reported; operations that it stops end by their
  // deadlines.
  runInBackground(task) {
    try {
      task(this.native, this.settle);
    } catch (err) {
      this.report(thrown(err));
    }
  }

  // One pair of arguments of engineDrain()'s callback.
  complete(op, value) {
    try {
      if (op === 0) return this.event(...value);
      if (op < 0) return this.pending.take(-op)?.(new SessionError(...value), null);
      const callback = this.pending.take(op);
      // while the engine has background work or the store is disconnected, the value may come from this process
      if (this.reports.isDown && this.connected && !this.hasBackgroundWork) this.reports.recovered();
      if (callback) callback(null, value);
    } catch (err) {
      rethrow(err);
    }
  }

  // Calls a JavaScript store; native stores have nothing to call.
  callStore() {}

  event(name, first, second) {
    if (name === 'evict') {
      this.store.emit('evict', first, decode(second));
      return;
    }
    this.connecting = false;
    debug('store: %s %s', name, second || '');
    if (name === 'breaker') {
      this.breakerOpen = first === 'true';
      diagnostics.breaker.publish({ store: this.store, open: this.breakerOpen });
      return;
    }
    if (name === 'connect') this.reports.recovered();
    if (name === 'error') this.report(new SessionError(first, second));
    else this.store.emit(name, ...(second ? [new SessionError(first, second)] : []));
  }

  // Reports an error that no caller waits for.
  report(err) {
    this.reports.error(err);
  }

  get isBusy() {
    return this.pending.size > 0 || this.connecting;
  }

  // whether engineExpire() has something to do although no operation is pending
  get hasBackgroundWork() {
    return native.engineHasBackgroundWork(this.native);
  }

  // How long a caller waits for an operation, ms.
  get timeout() {
    return native.engineTimeout(this.native);
  }

  set timeout(timeout) {
    native.engineSetTimeout(this.native, timeout);
  }

  // The statistics of the store.
  stats() {
    return JSON.parse(native.engineStats(this.native));
  }

  // Keeps the process alive and looks at the deadlines, while operations are pending.
  ref() {
    this.hasRef = true;
    if (this.timer) return void this.timer.ref();
    let idle = 0;
    this.timer = setInterval(() => {
      this.drain();
      this.reports.statistics(() => this.stats());
      if (this.isBusy || this.hasBackgroundWork) {
        idle = 0;
        this.runInBackground(native.engineExpire);
        this.drain();
      } else if (++idle > IDLE_TICKS) {
        clearInterval(this.timer);
        this.timer = null;
      }
    }, TICK);
  }

  unref() {
    this.hasRef = false;
    this.timer?.unref();
  }
}

module.exports = Engine;
