'use strict';
// Store, the base class. MemoryStore and RedisStore share what they have from the native engine.

const { EventEmitter } = require('node:events');
const codec = require('./codec');
const SessionError = require('./errors');
const { Engine } = require('./engine');
const promised = require('./promised');
const { Session } = require('./session');

// For stores of applications: get(sid, cb), set(sid, value, cb) and destroy(sid, cb) are theirs to add, generate(req)
// is the middleware's.
class Store extends EventEmitter {
  // Gives a holder, such as a request, a new session in place of the one it has.
  regenerate(holder, callback) {
    return promised(callback, (done) => {
      const begin = (err) => {
        if (err) return done(err);
        delete holder.mks;
        delete holder.session;
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

const nothing = () => undefined;
const valueOf = (text) => (text === null ? null : codec.decode(text));

// The native stores: values and sessions by name. Callback or promise.
class NativeStore extends Store {
  // the option `ttl`, when it is a function of the data
  #ttl = null;

  constructor(options, className) {
    super();
    if (options === null || typeof options !== 'object') {
      throw new SessionError(
        'ERR_SESSION_OPTION',
        `${className}: the options must be an object, not ${String(options)}`
      );
    }
    if (typeof options.ttl === 'function') this.#ttl = options.ttl;
  }

  // The options as text for the native side, which checks them.
  static text(options) {
    return JSON.stringify(options, (key, value) => (key === 'ttl' && typeof value === 'function' ? undefined : value));
  }

  get engine() {
    return Engine.of(this);
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
    return this.engine.ask(callback, valueOf, 'get', checked(sid));
  }

  set(sid, value, callback) {
    return promised(callback, (done) => {
      let text, ttl;
      try {
        text = codec.encode(value, 'the value');
        ttl = this.#ttlOfValue(value);
        checked(sid);
      } catch (err) {
        return done(err);
      }
      this.engine.run((err) => done(err), 'set', sid, text, ttl);
    });
  }

  destroy(sid, callback) {
    return this.engine.ask(callback, nothing, 'delete', checked(sid));
  }

  touch(sid, value, callback) {
    if (typeof value === 'function') [value, callback] = [undefined, value];
    return this.engine.ask(callback, nothing, 'touch', checked(sid), value && this.#ttlOfValue(value));
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

  // Finishes what was asked for, then lets go of everything.
  close(callback) {
    return this.engine.ask(callback, nothing, 'close');
  }
}

function checked(sid) {
  if (typeof sid !== 'string' || sid === '') {
    throw new SessionError('ERR_SESSION_ARGUMENT', `a session id is a string that is not empty, not ${String(sid)}`);
  }
  return sid;
}

module.exports = { NativeStore, Store };
