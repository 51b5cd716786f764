'use strict';
// Store, the base class. MemoryStore and RedisStore share what they have from the native engine.

const { EventEmitter } = require('node:events');
const { detach } = require('./attach');
const codec = require('./codec');
const SessionError = require('./errors');
const { Engine } = require('./engine');
const promised = require('./promised');
const { Session } = require('./session');
const { isId } = require('./session-keys');

// For stores of applications: get(sid, cb), set(sid, value, cb) and destroy(sid, cb) are theirs to add, generate(req)
// is the middleware's.
class Store extends EventEmitter {
  // Gives a holder, such as a request, a new session in place of the one it has.
  regenerate(holder, callback) {
    return promised(callback, (done) => {
      const begin = (err) => {
        if (err) return done(err);
        detach(holder);
        this.generate(holder);
        done(null);
      };
      if (holder.mks) holder.mks.destroy(begin);
      else this.destroy(holder.sessionID, begin);
    });
  }

  // The session that has the key `sid`: callback(err, mks).
  load(sid, callback) {
    return Session.loadFromStorage({ store: this }, sid, callback);
  }
}

const CLOSE_TIMEOUT = 5000; // ms

// the data of what get() gave: a session has its keys beside it
const dataOf = (sid, value) => (sid.startsWith('mks:') && value?.keys && value.session ? value.session : value);
const nothing = () => undefined;
const QUOTE = 34;

// The value of a JSON text; a string without escapes is what stands between its quotes.
function valueOf(text) {
  if (text === null) return null;
  return text.charCodeAt(0) === QUOTE && !text.includes('\\') ? text.slice(1, -1) : codec.decode(text);
}

// The native stores: values and sessions by name. Callback or promise.
class NativeStore extends Store {
  // the option `ttl`, when it is a function of the data
  #ttl = null;
  #engine = null;

  constructor(options, className) {
    super();
    if (options === null || typeof options !== 'object' || Array.isArray(options)) {
      throw new SessionError(
        'ERR_SESSION_OPTION',
        `${className}: the options must be an object, not ${String(options)}`
      );
    }
    if (typeof options.ttl === 'function') this.#ttl = options.ttl;
  }

  get engine() {
    return (this.#engine ??= Engine.of(this));
  }

  // The time to live of a session, ms; nothing where the store's own holds.
  ttlOf(mks) {
    return this.#ttl === null ? undefined : this.#seconds(mks.session) * 1000;
  }

  #seconds(value) {
    const seconds = this.#ttl(value);
    if (typeof seconds !== 'number' || !(seconds > 0) || seconds > 3.2e9) {
      throw new SessionError(
        'ERR_SESSION_OPTION',
        `ttl() must give a number of seconds greater than 0, not ${seconds}`
      );
    }
    return seconds;
  }

  #ttlOfValue(value) {
    return this.#ttl === null ? undefined : this.#seconds(value) * 1000;
  }

  get(sid, callback) {
    return this.#named(sid, callback, valueOf, 'get');
  }

  set(sid, value, callback) {
    // V8 writes a long string as JSON more slowly than it hands it over
    const isString = typeof value === 'string' && value.isWellFormed();
    let text, ttl;
    try {
      text = isString ? value : codec.encode(value, 'the value');
      ttl = this.#ttlOfValue(value);
    } catch (err) {
      return promised(callback, (done) => done(err));
    }
    return this.#named(sid, callback, nothing, 'set', text, ttl, isString);
  }

  destroy(sid, callback) {
    return this.#named(sid, callback, nothing, 'delete');
  }

  touch(sid, value, callback) {
    if (typeof value === 'function') [value, callback] = [undefined, value];
    if (this.#ttl === null) return this.#named(sid, callback, nothing, 'touch');
    return promised(callback, async (done) => {
      try {
        if (value === undefined) value = dataOf(sid, await this.get(sid));
        if (value !== null) await this.#named(sid, undefined, nothing, 'touch', this.#ttlOfValue(value));
        done(null);
      } catch (err) {
        done(err);
      }
    });
  }

  #named(sid, callback, read, method, second, third, fourth) {
    if (isId(sid)) {
      return this.engine.ask(callback, read, method, sid, second, third, fourth);
    }
    const message = `a session id is a string of Unicode that is not empty, not ${JSON.stringify(sid) ?? String(sid)}`;
    return promised(callback, (done) => done(new SessionError('ERR_SESSION_ARGUMENT', message)));
  }

  all(callback) {
    return this.engine.ask(callback, (texts) => texts.map((text) => codec.decode(text)), 'all');
  }

  ids(callback) {
    return this.engine.ask(callback, (ids) => ids, 'ids');
  }

  length(callback) {
    return this.engine.ask(callback, (length) => length, 'length');
  }

  clear(callback) {
    return this.engine.ask(callback, nothing, 'clear');
  }

  // What the store has done since it was made.
  stats() {
    return this.engine.stats();
  }

  // Finishes what was asked for, within `timeout` ms, then lets go of everything: close([{timeout}][, callback]).
  close(options, callback) {
    if (typeof options === 'function') [options, callback] = [undefined, options];
    const { timeout = CLOSE_TIMEOUT } = options ?? {};
    if (!(Number.isInteger(timeout) && timeout >= 0 && timeout <= 86400000)) {
      const message = `close({timeout}): a whole number of ms from 0 to 86400000, not ${String(timeout)}`;
      return promised(callback, (done) => done(new SessionError('ERR_SESSION_OPTION', message)));
    }
    const closed = () => {
      this.engine.connecting = false;
    };
    return this.engine.ask(callback, closed, 'close', timeout);
  }
}

// The options as text for the native side, which checks them. What JSON would leave out or change, such as a function or
// NaN, is told in words, so that it is refused by its name. A `ttl` that is a function stays here.
function optionsText(options) {
  const entries = Object.entries(options).filter(([name, value]) => name !== 'ttl' || typeof value !== 'function');
  return JSON.stringify(
    Object.fromEntries(entries.map(([name, value]) => [name, NESTED.has(name) ? each(value) : told(value)]))
  );
}

// options that are objects of options
const NESTED = new Set(['cache']);

function each(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return told(value);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, told(inner)]));
}

function told(value) {
  if (value === undefined || value === null || typeof value === 'boolean' || Number.isFinite(value)) return value;
  if (typeof value === 'string') return value;
  // in brackets, so that it is no text or number that would do
  return [typeof value === 'number' || typeof value === 'bigint' ? String(value) : typeof value];
}

module.exports = { NativeStore, Store, optionsText };
