'use strict';
// The session of the classic module: two levels of entries, 'mks:' + key -> uuid and uuid -> {keys, session}, one
// command for each, a checksum before and after each save.

const { randomUUID } = require('node:crypto');
const checksum = require('./checksum');
const { marked, unmarked } = require('./markers');

const nameOf = (id) => `mks:${id}`;

// Calls back after `count` calls, with the first error.
function all(count, callback) {
  let failed = null;
  return (err) => {
    failed = failed || err || null;
    if (--count === 0) callback(failed);
  };
}

class ClassicSession {
  constructor(store, uuid = `mks:session:${randomUUID()}`, { keys = {}, session = {} } = {}) {
    this.store = store;
    this.uuid = uuid;
    this.keys = keys;
    // app.siprequest(uri, {session}) finds the session by it
    this.session = Object.defineProperty(session, 'mks', { value: this, enumerable: false });
    this.saved = new Set(Object.keys(keys));
    this.checksum = undefined;
  }

  set(id, resource = null) {
    this.keys[nameOf(id)] = resource;
  }

  get content() {
    return { keys: this.keys, session: this.session };
  }

  isDirty() {
    return checksum(this.content) !== this.checksum;
  }

  save(callback) {
    if (!this.isDirty()) return callback(null);
    const fresh = Object.keys(this.keys).filter((name) => !this.saved.has(name));
    const done = all(fresh.length + 1, (err) => {
      this.checksum = checksum(this.content);
      callback(err);
    });
    for (const name of fresh) {
      this.saved.add(name);
      this.store.set(name, this.uuid, done);
    }
    this.store.set(this.uuid, marked(this.content), done);
  }

  // Removes a key, and with the last one the session.
  del(id, callback) {
    const name = nameOf(id);
    delete this.keys[name];
    this.saved.delete(name);
    const done = all(2, callback);
    this.store.destroy(name, done);
    if (Object.keys(this.keys).length === 0) this.store.destroy(this.uuid, done);
    else this.save(done);
  }

  static load(store, id, callback) {
    store.get(nameOf(id), (err, uuid) => {
      if (err || !uuid) return callback(err, null);
      store.get(uuid, (failed, content) => {
        if (failed || !content) return callback(failed, null);
        const session = new ClassicSession(store, uuid, unmarked(content));
        session.checksum = checksum(session.content);
        callback(null, session);
      });
    });
  }
}

module.exports = ClassicSession;
