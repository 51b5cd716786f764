'use strict';
// Session, the multi-key session ("mks"): one data object, found by any of its keys. The record behind it, what has
// changed and what is written are the native engine's.

const { inspect } = require('node:util');
const codec = require('./codec');
const native = require('./native');
const SessionError = require('./errors');
const { Engine } = require('./engine');
const Keys = require('./session-keys');
const { SessionData, attach, fill } = require('./session-data');
const Updates = require('./session-update');
const promised = require('./promised');

const { PREFIX } = Keys;
// extents of a save, as NativeEngine#save has them
const ALWAYS = 1;

class Session {
  #keys;
  #data;
  #reference;
  #held = 0;
  // by the id of a key whose removal is on its way, those who wait for it
  #removals;

  constructor(options, record = native.newRecord()) {
    if (!options || !options.store) {
      throw new SessionError('ERR_SESSION_ARGUMENT', 'new Session({store}) needs a store');
    }
    this.store = options.store;
    this.engine = Engine.of(options.store);
    this.record = record;
    // whether it stands in for one that could not be loaded
    this.degraded = false;
    // the id under which an INVITE waits for its final response
    this.pending = undefined;
    this.#keys = new Keys(record, this);
  }

  get uuid() {
    return native.recordUuid(this.record);
  }

  get keys() {
    return [...this.#keys.names];
  }

  get keyCount() {
    return this.#keys.names.length;
  }

  get keyData() {
    return this.#keys.data;
  }

  // whether it was removed or has expired
  get removed() {
    return native.recordIsRemoved(this.record);
  }

  get session() {
    if (!this.#data) {
      const data = new SessionData(this);
      const instances = [];
      fill(data, codec.decode(native.recordView(this.record), instances));
      this.#data = data;
      instances.forEach((instance) => instance.attachSession(this));
    }
    return this.#data;
  }

  set session(content) {
    if (content === null || typeof content !== 'object' || Array.isArray(content)) {
      throw new SessionError('ERR_SESSION_ARGUMENT', `a session is an object, not ${JSON.stringify(content)}`);
    }
    const data = this.session;
    if (content === data) return;
    const copy = { ...content };
    Object.keys(data).forEach((key) => delete data[key]);
    fill(data, copy);
  }

  // Adds a key: set(id), set(resource) with a sessionID, set(id, resource).
  set(id, resource) {
    const name = this.#keys.add(id, resource);
    if (this.#held > 0) this.engine.enlist(name, this);
    return this;
  }

  // Whether it has a key, as far as this process knows.
  has(id) {
    return this.#keys.names.includes(PREFIX + id);
  }

  // The resource kept with a key.
  get(id) {
    return this.#keys.resource(id);
  }

  // Whether a save would write anything.
  isDirty() {
    return native.recordIsDirty(this.record, this.text());
  }

  // Removes a key, and the session with its last one.
  del(id, callback) {
    if (id !== null && typeof id === 'object') id = id.sessionID;
    return promised(callback, (done) => this.removeKey(id, done));
  }

  // save([callback]), save({ifUnchanged: true}[, callback])
  save(options, callback) {
    if (typeof options === 'function') [options, callback] = [undefined, options];
    return promised(callback, (done) => this.write(ALWAYS, done, options?.ifUnchanged === true));
  }

  // Changes what is stored by `change(data)`, in one step whoever else writes; gives what `change` gave.
  update(change, callback) {
    return promised(callback, (done) => Updates.add(this, change, done));
  }

  // Removes the session with all of its keys.
  destroy(callback) {
    return promised(callback, (done) => {
      const { names } = this.#keys;
      this.#keys.refresh();
      this.engine.run(
        (err) => {
          names.forEach((name) => this.engine.strike(name, this));
          done(err);
        },
        'destroy',
        this.record
      );
    });
  }

  // Saves what has changed and lets go: later requests load the session anew.
  close(callback) {
    return promised(callback, (done) =>
      this.write(0, (err) => {
        this.#keys.names.forEach((name) => this.engine.strike(name, this));
        done(err);
      })
    );
  }

  // what logs and debuggers show: not the engine behind it
  toJSON() {
    return { uuid: this.uuid, keys: this.keys, session: this.session };
  }

  [inspect.custom](depth, options) {
    return `Session ${inspect(this.toJSON(), options)}`;
  }

  // Gives any object `mks` and `session`.
  attachTo(object) {
    attach(object, this);
    return this;
  }

  // For the middleware: as the public methods, but the callback may come in the same turn.

  // The JSON text of the data; nothing while nobody has read it. The record gets what has changed of the resources.
  text() {
    this.#keys.write();
    if (!this.#data) return undefined;
    const text = codec.encode(this.#data);
    if (text.startsWith('{')) return text;
    throw new SessionError('ERR_SESSION_DATA', `a session is an object; its toJSON gives ${text}`);
  }

  write(extent, done, ifUnchanged = false) {
    let text, ttl;
    try {
      text = this.text();
      ttl = this.store.ttlOf?.(this);
    } catch (err) {
      return done(err);
    }
    const over = (err) => {
      if (err?.code === 'ERR_SESSION_CONFLICT') {
        this.loaded(false);
        err.newer = codec.decode(native.recordText(this.record));
      }
      done(err);
    };
    this.engine.run(over, 'save', this.record, text, extent, ttl, ifUnchanged);
  }

  removeKey(id, done) {
    // a dialog has more than one end: its BYE, and the host that drops it
    const others = this.#removals?.get(id);
    if (others) return void others.push(done);
    // What has changed goes with the session, if this is its last key.
    const isLast = this.#keys.names.length <= 1;
    let text, ttl;
    try {
      if (!isLast) text = this.text();
      ttl = this.store.ttlOf?.(this);
    } catch (err) {
      // data that can't be saved must not keep the key alive
      this.engine.report(err);
      text = undefined;
    }
    const waiting = [done];
    (this.#removals ??= new Map()).set(id, waiting);
    const all = (err) => waiting.forEach((each) => each(err));
    const over = (err, left) => {
      this.#removals.delete(id);
      this.#keys.forget(id);
      this.engine.strike(PREFIX + id, this);
      // another process has added a key
      if (isLast && left > 0) return this.write(0, all);
      all(err);
    };
    this.engine.run(over, 'removeKey', this.record, id, text, ttl);
  }

  // The store was asked again: brings what others have stored meanwhile into the data object and the resources.
  loaded(isCurrent) {
    this.#keys.refresh();
    if (isCurrent) return;
    const patch = native.recordMerge(this.record, this.text());
    if (patch === null) return;
    const instances = [];
    const { set, removed } = codec.decode(patch, instances);
    const data = this.session;
    removed.forEach((key) => delete data[key]);
    fill(data, set);
    instances.forEach((instance) => instance.attachSession(this));
  }

  // Asks the store again, by the first key: what others have stored meanwhile is merged. For update(). That the key leads
  // here no more says nothing: the session may have others, which the next write will find out.
  reload(done) {
    const [name] = this.#keys.names;
    if (name === undefined) return done(null);
    const over = (err, value) => {
      if (err) return done(err);
      if (typeof value === 'boolean') this.loaded(value);
      done(null);
    };
    this.engine.run(over, 'load', name.slice(PREFIX.length), this.record, true);
  }

  // A request holds the session: whoever comes by one of its keys meanwhile gets this object.
  hold() {
    if (this.#held++ === 0) this.#keys.names.forEach((name) => this.engine.enlist(name, this));
  }

  release() {
    if (this.#held > 0 && --this.#held === 0) this.#keys.names.forEach((name) => this.engine.strike(name, this));
  }

  get reference() {
    return (this.#reference ??= new WeakRef(this));
  }

  // Finds a session by a key: callback(err, mks), without mks if there is none.
  static find(store, id, callback, live = Engine.of(store).find(PREFIX + id)) {
    const engine = Engine.of(store);
    const found = (err, value) => {
      if (err) return callback(err);
      if (value === null) return callback(null, null);
      let mks = live;
      try {
        if (typeof value !== 'boolean') {
          const other = known(engine, value);
          // what was found is older than what it has written since
          if (other && native.recordIsBehind(other.record)) return Session.find(store, id, callback, other);
          mks = other || new Session({ store }, value);
        }
        if (mks.record !== value) mks.loaded(value === true);
      } catch (thrown) {
        return callback(thrown);
      }
      callback(null, mks);
    };
    engine.run(found, 'load', id, live?.record);
  }

  static loadFromStorage(options, id, callback) {
    if (!options || !options.store) {
      throw new SessionError('ERR_SESSION_ARGUMENT', 'Session.loadFromStorage({store}, id) needs a store');
    }
    if (options.resolvers) codec.addClasses(options.resolvers);
    return promised(callback, (done) => Session.find(options.store, id, done));
  }

  static addResolvers(classes) {
    codec.addClasses(classes);
  }
}
Session.SessionProto = SessionData;
Session.resolvers = codec.resolvers;

// The session that another load has brought home while this one was under way.
function known(engine, record) {
  if (engine.live.size === 0) return null;
  for (const name of native.recordKeys(record)) {
    const session = engine.find(name);
    if (session && native.recordAbsorb(session.record, record) !== null) return session;
  }
  return null;
}

module.exports = { Session };
