'use strict';
// NativeStore: what MemoryStore and RedisStore have in common, values and sessions by name. Each method takes a callback or
// returns a promise.

const callbackOrPromise = require('../callback-or-promise');
const { SessionError } = require('../errors');
const { ErrorCode, KEY_PREFIX, MAX_TIMEOUT, MAX_TTL } = require('../native/constants');
const Engine = require('../native/engine');
const codec = require('../session/codec');
const { isId } = require('../session/keys');
const { register } = require('./engines');
const optionsText = require('./options');
const Store = require('./store');

const CLOSE_TIMEOUT = 5000; // ms
const SHORT_TTL = 8; // seconds: a session with a longer one is looked at in time by timers of a second
const QUOTE = 34; // the code of "

const ignore = () => undefined;

// The data of a value of get(): that of a session has the keys beside it.
const dataOf = (sid, value) => (sid.startsWith(KEY_PREFIX) && value?.keys && value.session ? value.session : value);

// The value of a JSON text; a string without escapes is what stands between the quotes.
function valueOf(text) {
  if (text === null) return null;
  return text.charCodeAt(0) === QUOTE && !text.includes('\\') ? text.slice(1, -1) : codec.decode(text);
}

class NativeStore extends Store {
  // the option `ttl`, if it is a function of the data
  #ttl = null;
  #engine;

  // `create(text, wake)` makes the native engine; `text` is that of the options
  constructor(className, options, create) {
    super();
    if (options === null || typeof options !== 'object' || Array.isArray(options)) {
      const message = `${className}: the options must be an object, not ${String(options)}`;
      throw new SessionError(ErrorCode.OPTION, message);
    }
    if (typeof options.ttl === 'function') this.#ttl = options.ttl;
    const text = optionsText(options);
    this.#engine = register(this, new Engine(this, (wake) => create(text, wake)));
    this.#engine.ttlMayBeShort = this.#ttl !== null || options.ttl < SHORT_TTL;
  }

  get engine() {
    return this.#engine;
  }

  // The TTL of a session, ms; undefined for that of the store.
  ttlOf(mks) {
    return this.#ttl === null ? undefined : this.#ttlOfData(mks.session);
  }

  #ttlOfData(data) {
    if (this.#ttl === null) return undefined;
    const seconds = this.#ttl(data);
    if (typeof seconds !== 'number' || !(seconds > 0) || seconds > MAX_TTL) {
      throw new SessionError(ErrorCode.OPTION, `ttl() must give a number of seconds greater than 0, not ${seconds}`);
    }
    return seconds * 1000;
  }

  get(sid, callback) {
    return this.#onName(sid, callback, valueOf, 'get');
  }

  set(sid, value, callback) {
    // V8 takes longer to write a long string as JSON than to pass it to the native engine
    const isString = typeof value === 'string' && value.isWellFormed();
    let text, ttl;
    try {
      text = isString ? value : codec.encode(value, 'the value');
      ttl = this.#ttlOfData(value);
    } catch (err) {
      return callbackOrPromise(callback, (done) => done(err));
    }
    return this.#onName(sid, callback, ignore, 'set', text, ttl, isString);
  }

  destroy(sid, callback) {
    return this.#onName(sid, callback, ignore, 'delete');
  }

  touch(sid, value, callback) {
    if (typeof value === 'function') [value, callback] = [undefined, value];
    if (this.#ttl === null) return this.#onName(sid, callback, ignore, 'touch');
    return callbackOrPromise(callback, async (done) => {
      try {
        if (value === undefined) value = dataOf(sid, await this.get(sid));
        if (value !== null) await this.#onName(sid, undefined, ignore, 'touch', this.#ttlOfData(value));
        done(null);
      } catch (err) {
        done(err);
      }
    });
  }

  #onName(sid, callback, read, operation, second, third, fourth) {
    if (isId(sid)) return this.#ask(callback, read, operation, sid, second, third, fourth);
    const message = `a session id is a string of Unicode that is not empty, not ${JSON.stringify(sid) ?? String(sid)}`;
    return callbackOrPromise(callback, (done) => done(new SessionError(ErrorCode.ARGUMENT, message)));
  }

  // Runs an operation; `read` converts its native value into the application's.
  #ask(callback, read, operation, first, second, third, fourth) {
    const start = (done) => this.#engine.run(done, operation, first, second, third, fourth);
    return callbackOrPromise(callback, start, read);
  }

  all(callback) {
    return this.#ask(callback, (texts) => texts.map((text) => codec.decode(text)), 'all');
  }

  ids(callback) {
    return this.#ask(callback, (ids) => ids, 'ids');
  }

  length(callback) {
    return this.#ask(callback, (length) => length, 'length');
  }

  clear(callback) {
    return this.#ask(callback, ignore, 'clear');
  }

  // The statistics of the store.
  stats() {
    return this.#engine.stats();
  }

  // Completes what is under way, within `timeout` ms, then closes the store: close([{timeout}][, callback]).
  close(options, callback) {
    if (typeof options === 'function') [options, callback] = [undefined, options];
    const { timeout = CLOSE_TIMEOUT } = options ?? {};
    if (!(Number.isInteger(timeout) && timeout >= 0 && timeout <= MAX_TIMEOUT)) {
      const message = `close({timeout}): a whole number of ms from 0 to ${MAX_TIMEOUT}, not ${String(timeout)}`;
      return callbackOrPromise(callback, (done) => done(new SessionError(ErrorCode.OPTION, message)));
    }
    const closed = () => {
      this.#engine.connecting = false;
    };
    return this.#ask(callback, closed, 'close', timeout);
  }
}

module.exports = NativeStore;
