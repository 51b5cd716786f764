'use strict';
// Session, the multi-key session ("mks"): one data object, found by any of its keys. The record behind it, what has
// changed and what is written are the native engine's.

const { inspect } = require('node:util');
const { attach } = require('./attach');
const codec = require('./codec');
const native = require('./native');
const SessionError = require('./errors');
const { Engine } = require('./engine');
const find = require('./session-find');
const Keys = require('./session-keys');
const { Content, SessionData } = require('./session-data');
const Updates = require('./session-update');
const promised = require('./promised');

// extents of a save, as engineSave() has them
const CHANGES = 0;
const ALWAYS = 1;

const NONE = [];

class Session {
  #keys;
  #content;
  #reference;
  #held = 0;
  // how many saves are on their way
  #saves = 0;
  // whether it was loaded from the store, or saved to it
  #isStored = false;
  // whether its data has just been compared
  #isSeen = false;
  // the keys whose removal is on its way: {id, waiting}, with those who wait for it
  #removals = NONE;
  // its place among the sessions that were used last (recent.js)
  newer;
  older;
  weight = 0;

  // `record`: as loaded; a new one without it. `ids`: its keys, where they are known
  constructor(options, record = undefined, ids = record ? undefined : []) {
    if (!options || !options.store) {
      throw new SessionError('ERR_SESSION_ARGUMENT', 'new Session({store}) needs a store');
    }
    this.store = options.store;
    this.engine = Engine.of(options.store);
    this.record = record ?? native.newRecord();
    // whether it stands in for one that could not be loaded
    this.degraded = false;
    // the id under which an INVITE waits for its final response
    this.pending = undefined;
    this.#keys = new Keys(this.record, this, ids);
    this.#content = new Content(this.record, this, ids !== undefined);
  }

  // What takes the place of a session with the key `id` that could not be loaded, or that there is none of.
  static standIn(store, plan, failed, id) {
    const record = native.standInRecord(plan, failed, id);
    return record ? new Session({ store }, record, [id]) : new Session({ store }, native.endedRecord(), []);
  }

  get uuid() {
    return native.recordUuid(this.record);
  }

  get keys() {
    return this.#keys.names;
  }

  get keyCount() {
    return this.#keys.ids.length;
  }

  get keyData() {
    return this.#keys.data;
  }

  // whether it was removed or has expired
  get removed() {
    return native.recordIsRemoved(this.record);
  }

  get session() {
    return this.#content.data;
  }

  set session(content) {
    this.#content.replace(content);
  }

  // Adds a key: set(id), set(resource) with a sessionID, set(id, resource).
  set(id, resource) {
    const added = this.#keys.add(id, resource);
    if (this.#isLive) this.engine.live.add(added, this);
    return this;
  }

  // Whether it has a key, as far as this process knows.
  has(id) {
    return this.#keys.ids.includes(id);
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
    return promised(callback, (done) => {
      const wrong = Keys.refusal(id);
      if (wrong) return done(wrong);
      return this.removeKey(id, done);
    });
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
      const { ids } = this.#keys;
      this.#refreshKeys();
      this.engine.run(
        (err) => {
          this.unlist(ids);
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
      this.write(CHANGES, (err) => {
        this.engine.recent.remove(this);
        this.unlist();
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
    return this.#content.text();
  }

  // Nothing is to be written: whoever lets go of the session in this turn need not look again whether it has changed.
  #leave(done) {
    this.#isSeen = true;
    try {
      done(null);
    } finally {
      this.#isSeen = false;
    }
  }

  write(extent, done, ifUnchanged = false) {
    let text, ttl;
    try {
      if (extent === CHANGES) {
        this.#keys.write();
        if (this.#content.isUntouched() && native.recordIsClean(this.record)) return this.#leave(done);
      }
      text = this.text();
      if (extent === CHANGES && this.#content.isGiven(text) && native.recordIsClean(this.record)) return done(null);
      ttl = this.store.ttlOf?.(this);
    } catch (err) {
      return done(err);
    }
    this.#content.gave(text);
    this.#saves++;
    const over = (err) => {
      this.#saves--;
      if (!err && !this.#isStored) this.#isStored = extent === ALWAYS || native.recordIsStored(this.record);
      if (err?.code === 'ERR_SESSION_CONFLICT') {
        this.loaded(false);
        err.newer = codec.decode(native.recordText(this.record));
      }
      done(err);
    };
    this.engine.run(over, 'save', this.record, text, extent, ttl, ifUnchanged);
  }

  // `sent`, if given, may be called before done(): when the store has been told, where nothing but the removal is to be done,
  // of an unchanged session with its last key.
  removeKey(id, done, sent) {
    // a dialog has more than one end: its BYE, and the host that drops it
    const others = this.#removals.find((removal) => removal.id === id);
    if (others) return void others.waiting.push(done);
    // What has changed goes with the session, if this is its last key.
    const isLast = this.#keys.ids.length <= 1;
    let text, ttl;
    try {
      if (!isLast) text = this.text();
      ttl = this.store.ttlOf?.(this);
    } catch (err) {
      // data that can't be saved must not keep the key alive
      this.engine.report(err);
      text = undefined;
    }
    this.#content.gave(text);
    const removal = { id, waiting: [done] };
    this.#removals = [...this.#removals, removal];
    const all = (err) => removal.waiting.forEach((each) => each(err));
    const over = (err, left) => {
      this.#removals = this.#removals.filter((other) => other !== removal);
      this.#keys.forget(id, !err);
      this.engine.live.strike(id, this);
      if (left === 0) this.#isStored = false;
      // another process has added a key
      if (isLast && left > 0) return this.write(CHANGES, all);
      all(err);
    };
    this.engine.run(over, 'removeKey', this.record, id, text, ttl);
    if (sent && isLast && this.#saves === 0 && this.#content.isUntouched()) this.engine.whenSent(sent);
  }

  // The store was asked again: brings what others have stored meanwhile into the data object and the resources. Nothing
  // has come if it `isCurrent`.
  loaded(isCurrent) {
    if (isCurrent) return;
    this.#refreshKeys();
    this.#keys.write();
    this.#content.merge();
  }

  // A load has found it: it is its record, or `true` if it is current, or has to be merged.
  found(value) {
    if (value !== this.record) this.loaded(value === true);
    if (value !== true) this.#isStored = true;
    if (this.#isStored) this.degraded = false;
  }

  // A load has found nothing where it was: it may have other keys.
  lostKey() {
    this.#refreshKeys();
  }

  // The record may have changed: nobody gets it any more by keys that it has lost.
  #refreshKeys() {
    const { ids } = this.#keys;
    this.#keys.refresh();
    this.unlist(ids.filter((id) => !this.has(id)));
  }

  // Asks the store again, by the first key: what others have stored meanwhile is merged. For update(). That the key leads
  // here no more says nothing: the session may have others, which the next write will find out.
  reload(done) {
    const [id] = this.#keys.ids;
    if (id === undefined) return done(null);
    const over = (err, value) => {
      if (err) return done(err);
      if (typeof value === 'boolean') this.loaded(value);
      done(null);
    };
    this.engine.run(over, 'load', id, this.record, true);
  }

  get #isLive() {
    return this.#held > 0 || this.older !== undefined;
  }

  // A request holds the session: whoever comes by one of its keys meanwhile gets this object.
  hold() {
    if (this.#held++ > 0) return;
    if (this.older === undefined) for (const id of this.#keys.ids) this.engine.live.add(id, this);
    else this.engine.recent.remove(this);
  }

  // Whoever comes soon after gets it too: if there is something stored that it can be compared with, and its data would
  // be the same if it were loaded.
  release() {
    if (this.#held === 0 || --this.#held > 0) return;
    const { recent } = this.engine;
    if (this.#isStored && (this.#isSeen || this.#content.comesBack())) recent.add(this, this.#content.length);
    else this.unlist();
  }

  // Nobody gets it any more by these keys.
  unlist(ids = this.#keys.ids) {
    for (const id of ids) this.engine.live.strike(id, this);
  }

  get reference() {
    return (this.#reference ??= new WeakRef(this));
  }

  // Finds a session by a key: callback(err, mks), without mks if there is none. `live`: the one that is here.
  static find(store, id, callback, live = Engine.of(store).live.get(id)) {
    find(Engine.of(store), id, live, (record) => new Session({ store }, record), callback);
  }

  static loadFromStorage(options, id, callback) {
    if (!options || !options.store) {
      throw new SessionError('ERR_SESSION_ARGUMENT', 'Session.loadFromStorage({store}, id) needs a store');
    }
    if (options.resolvers) codec.addClasses(options.resolvers);
    return promised(callback, (done) => {
      const wrong = Keys.refusal(id);
      if (wrong) return done(wrong);
      return Session.find(options.store, id, done);
    });
  }

  static addResolvers(classes) {
    codec.addClasses(classes);
  }
}
Session.SessionProto = SessionData;
Session.resolvers = codec.resolvers;

module.exports = { Session };
