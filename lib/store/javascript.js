'use strict';
// The engine of a JavaScript store, which has the shape of connect's and express's: get(sid, cb), set(sid, value, cb),
// destroy(sid, cb), or the same without a callback, returning promises. The native engine decides which calls are made,
// and in which order (src/store/javascript).

const { SessionError } = require('../errors');
const native = require('../native');
const { ErrorCode } = require('../native/constants');
const Engine = require('../native/engine');

const FIELDS = 5; // of a call, as engineCalls() gives them

class JavaScriptEngine extends Engine {
  constructor(store) {
    for (const method of ['get', 'set', 'destroy']) {
      if (typeof store[method] !== 'function') {
        throw new SessionError(ErrorCode.OPTION, `the store has no method ${method}(): it must have get, set, destroy`);
      }
    }
    super(store, () => native.javascriptEngine());
    this.calling = false;
    this.again = false;
    if (typeof store.on === 'function') {
      store.on('connect', () => (this.connected = true));
      store.on('disconnect', () => (this.connected = false));
    }
  }

  // Only the callbacks of such a store tell when it has written something.
  whenWritten() {}

  // A loop, not a recursion: a store may answer in the same turn.
  callStore() {
    this.again = true;
    if (this.calling) return;
    this.calling = true;
    try {
      while (this.again) {
        this.again = false;
        const flat = native.engineCalls(this.native);
        for (let i = 0; i < flat.length; i += FIELDS) this.call(...flat.slice(i, i + FIELDS));
      }
    } finally {
      this.calling = false;
    }
  }

  call(id, method, name, text, ttl) {
    const answer = (err, value) => {
      let found = null;
      if (!err && method === 'get' && value !== undefined && value !== null) {
        try {
          found = JSON.stringify(value);
        } catch (thrown) {
          err = thrown;
        }
      }
      // a store that keeps files says this of an entry that it does not have
      if (err && err.code === 'ENOENT' && method !== 'set') err = null;
      if (!err && typeof args[1] === 'string' && ttl !== null) this.expire(name, ttl);
      native.engineAnswer(this.native, id, err ? String(err.message || err) : null, found);
      this.drain();
    };
    const failed = (err) => answer(err || new Error(`${method} failed without a reason`));
    const args = text === null ? [name] : [name, withExpiry(JSON.parse(text), ttl)];
    try {
      // A method that takes a callback answers by it; its promise may only say that the call has begun.
      const byCallback = this.store[method].length > args.length;
      const promise = this.store[method](...args, answer);
      if (typeof promise?.then === 'function') promise.then((value) => byCallback || answer(null, value), failed);
    } catch (err) {
      failed(err);
    }
  }

  // The value of a key is a string, which has no cookie: only touch() can give it a TTL. If the store has no touch(), or
  // none for strings, the key keeps the store's usual TTL and leads to no session after this one.
  expire(name, ttl) {
    if (typeof this.store.touch !== 'function') return;
    try {
      this.store.touch(name, { cookie: cookieOf(ttl) }, () => undefined)?.catch?.(() => undefined);
    } catch {
      // express-session's MemoryStore looks for the session in the string
    }
  }
}

// Such stores take the TTL of an entry from the cookie of its web session.
const cookieOf = (ttl) => ({ originalMaxAge: ttl, expires: new Date(Date.now() + ttl) });

function withExpiry(value, ttl) {
  return ttl === null || typeof value !== 'object' ? value : { ...value, cookie: cookieOf(ttl) };
}

module.exports = JavaScriptEngine;
