'use strict';
// Drives a store written in JavaScript, of the shape of connect's and express's: get(sid, cb), set(sid, value, cb),
// destroy(sid, cb), or the same without a callback, giving promises. What is asked, and in which order, the native
// engine decides (src/store/foreign.rs).

const SessionError = require('./errors');
const { Engine } = require('./engine');
const native = require('./native');

class JavaScriptStore extends Engine {
  constructor(store) {
    for (const method of ['get', 'set', 'destroy']) {
      if (typeof store[method] !== 'function') {
        throw new SessionError(
          'ERR_SESSION_OPTION',
          `the store has no method ${method}(): it must have get, set, destroy`
        );
      }
    }
    super(store, () => native.foreignEngine());
    this.working = false;
    this.again = false;
    if (typeof store.on === 'function') {
      store.on('connect', () => (this.ready = true));
      store.on('disconnect', () => (this.ready = false));
    }
  }

  // Such a store does things when it likes: only its callbacks tell.
  whenSent() {}

  // A loop, not a recursion: a store may answer in the same turn.
  work() {
    this.again = true;
    if (this.working) return;
    this.working = true;
    try {
      while (this.again) {
        this.again = false;
        const flat = native.engineCalls(this.native);
        for (let i = 0; i < flat.length; i += 5) this.call(...flat.slice(i, i + 5));
      }
    } finally {
      this.working = false;
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
      // what a store that keeps files says of an entry that is not there
      if (err && err.code === 'ENOENT' && method !== 'set') err = null;
      if (!err && typeof args[1] === 'string' && ttl !== null) this.shorten(name, ttl);
      native.engineAnswer(this.native, id, err ? String(err.message || err) : null, found);
      this.drain();
    };
    const failed = (err) => answer(err || new Error(`${method} failed without a reason`));
    const args = text === null ? [name] : [name, withExpiry(JSON.parse(text), ttl)];
    try {
      // A method that takes a callback answers by it; its promise may say that it has merely begun.
      const byCallback = this.store[method].length > args.length;
      const promise = this.store[method](...args, answer);
      if (typeof promise?.then === 'function') promise.then((value) => byCallback || answer(null, value), failed);
    } catch (err) {
      failed(err);
    }
  }

  // A key is a string, which has no cookie: only a touch can tell the store. Where it has none, or none for strings, the
  // key stays for the usual time and leads nowhere.
  shorten(name, ttl) {
    if (typeof this.store.touch !== 'function') return;
    try {
      this.store.touch(name, { cookie: cookieOf(ttl) }, () => undefined)?.catch?.(() => undefined);
    } catch {
      // express-session's MemoryStore: it looks for the session in the string
    }
  }
}

// What such stores go by, where something is to live for less than usual: the cookie of a web session.
const cookieOf = (ttl) => ({ originalMaxAge: ttl, expires: new Date(Date.now() + ttl) });

function withExpiry(value, ttl) {
  return ttl === null || typeof value !== 'object' ? value : { ...value, cookie: cookieOf(ttl) };
}

module.exports = JavaScriptStore;
