'use strict';
// StoredSession: what the middleware needs of a session. Its record is the native engine's; here it is written, removed,
// merged with what others have stored, and kept live while requests retain it. Session (session.js) adds the public
// methods.
//
// Callbacks of these methods may come in the same turn.

const { SessionError } = require('../errors');
const native = require('../native');
const { ErrorCode, SaveMode } = require('../native/constants');
const { engineOf } = require('../store/engines');
const { attach } = require('./attach');
const codec = require('./codec');
const { Content } = require('./data');
const Keys = require('./keys');

const NONE = [];

class StoredSession {
  #keys;
  #content;
  #reference;
  // how many requests and Dialogs retain it
  #retained = 0;
  // how many saves are under way
  #saves = 0;
  // whether the store has, or had, it
  #isStored = false;
  // whether this process has removed it
  #isEnded = false;
  // whether its data was compared in this turn, and is what the record has
  #isCompared = false;
  // the keys whose removal is under way: {id, callbacks}
  #removals = NONE;
  // its neighbours among the recently used sessions, and the length of its text there (registry.js)
  newer;
  older;
  keptLength = 0;

  // `record`: of a loaded session; absent for a new one. `ids`: its keys, where they are known
  constructor(options, record = undefined, ids = record ? undefined : []) {
    if (!options || !options.store) {
      throw new SessionError(ErrorCode.ARGUMENT, 'new Session({store}) needs a store');
    }
    this.store = options.store;
    this.engine = engineOf(options.store);
    this.record = record ?? native.newRecord();
    // whether the store could not be asked for it
    this.degraded = false;
    // the transaction of an INVITE or SUBSCRIBE that waits for its final response
    this.pending = undefined;
    // whether a leg that is up waits for that response to store the session
    this.saveDue = false;
    this.#keys = new Keys(this.record, this, ids);
    this.#content = new Content(this.record, this, ids !== undefined);
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
    if (this.#isLive) this.engine.sessions.add(this.currentId(added), this);
    return this;
  }

  // Adds the key of a dialog. `leg`: its leg descriptor (src/session/leg.rs).
  claim(id, leg) {
    this.#keys.claim(id, leg);
    if (this.#isLive) this.engine.sessions.add(id, this);
  }

  // Takes the key of a dialog from another session, with its leg descriptor and resource.
  take(id, leg, resource) {
    this.#keys.add(id, resource, leg ?? undefined);
    if (this.#isLive) this.engine.sessions.add(id, this);
  }

  // The store did not take such a key: this session has not got it.
  giveBack(id) {
    this.engine.run(() => this.#keys.forget(id, true), 'removeKey', this.record, id);
    this.engine.sessions.delete(id, this);
  }

  // The leg descriptor of a key, null if it has none.
  legOf(id) {
    return this.#keys.leg(this.currentId(id));
  }

  // The id of the key of a dialog with this Call-ID and these tags, null if it has no such key.
  keyOf(callId, remote, local) {
    return native.recordKeyOf(this.record, callId, remote, local);
  }

  // The request that begins the dialog of a key was challenged: its retry goes on with this session.
  challenged(id) {
    if (!this.has(id) || this.awaitsRetry(id)) return;
    this.#keys.setLeg(this.currentId(id), `${this.legOf(id) ?? ''} ?`.trimStart());
  }

  awaitsRetry(id) {
    return native.recordAwaitsRetry(this.record, this.currentId(id));
  }

  // The retry has come.
  retried(id) {
    if (this.awaitsRetry(id)) this.#keys.setLeg(this.currentId(id), this.legOf(id).replace(/ ?\?$/, ''));
  }

  // Whether a SUBSCRIBE has formed the dialog of a key.
  isSubscription(id) {
    return / s\b/.test(this.legOf(id) ?? '');
  }

  // The id that a key has now: the save that stored it may have given it another one.
  currentId(id) {
    return this.#keys.current(id);
  }

  // Whether it has a key, as far as this process knows.
  has(id) {
    return this.#keys.ids.includes(this.currentId(id));
  }

  // The resource of a key.
  get(id) {
    return this.#keys.resource(this.currentId(id));
  }

  // Gives any object `mks` and `session`.
  attachTo(object) {
    attach(object, this);
    return this;
  }

  // What has changed in the data; undefined if nothing has. Gives the record the resources that have changed.
  patch() {
    this.#keys.write();
    return this.#content.patch();
  }

  write(mode, done, ifUnchanged = false) {
    let patch, ttl;
    try {
      patch = this.patch();
      if (mode === SaveMode.CHANGES && patch === undefined && native.recordIsClean(this.record)) {
        return this.#saved(done);
      }
      ttl = this.store.ttlOf?.(this);
    } catch (err) {
      return done(err);
    }
    this.#content.recorded(patch);
    this.#saves++;
    let inSameTurn = true;
    const saved = (err, isRenamed) => {
      this.#saves--;
      if (isRenamed === true) this.#rename();
      if (!err && !this.#isStored) this.#isStored = mode === SaveMode.ALWAYS || native.recordIsStored(this.record);
      if (err?.code === ErrorCode.CONFLICT) {
        this.merge(false);
        err.newer = codec.decode(native.recordStored(this.record));
      }
      if (inSameTurn && !err) this.#saved(done);
      else done(err);
    };
    this.engine.run(saved, 'save', this.record, patch?.set, patch?.removed, mode, ttl, ifUnchanged);
    inSameTurn = false;
  }

  // The store has given keys other ids, because other dialogs have theirs.
  #rename() {
    for (const [before, id] of this.#keys.rename()) {
      this.engine.sessions.delete(before, this);
      if (this.#isLive) this.engine.sessions.add(id, this);
    }
  }

  // A save that was done in this turn, or had nothing to write. A release() in this turn need not compare the data again.
  #saved(done) {
    this.#isCompared = true;
    try {
      done(null);
    } finally {
      this.#isCompared = false;
    }
  }

  // `written`, if given, may be called before done(): when the removal is written to the store, if the session is unchanged
  // and this is its last key.
  removeKey(key, done, written) {
    const id = this.currentId(key);
    // a dialog may end twice: by its BYE, and by the host that drops it
    const underWay = this.#removals.find((removal) => removal.id === id);
    if (underWay) return void underWay.callbacks.push(done);
    // with its last key the session goes, and so do its changes
    const isLast = this.#keys.ids.length <= 1;
    if (isLast) this.#isEnded = true;
    let patch, ttl;
    try {
      if (!isLast) patch = this.patch();
      ttl = this.store.ttlOf?.(this);
    } catch (err) {
      // data that can't be saved must not keep the key
      this.engine.report(err);
      patch = undefined;
    }
    this.#content.recorded(patch);
    const removal = { id, callbacks: [done] };
    this.#removals = [...this.#removals, removal];
    const callAll = (err) => removal.callbacks.forEach((callback) => callback(err));
    const removed = (err, left) => {
      this.#removals = this.#removals.filter((other) => other !== removal);
      this.#keys.forget(id, !err);
      this.engine.sessions.delete(id, this);
      if (left === 0) this.#isStored = false;
      // another process has added a key
      if (isLast && left > 0) {
        this.#isEnded = false;
        return this.write(SaveMode.CHANGES, callAll);
      }
      callAll(err);
    };
    this.engine.run(removed, 'removeKey', this.record, id, patch?.set, patch?.removed, ttl);
    if (written && isLast && this.#saves === 0) this.#whenWritten(written);
  }

  // Removes the key of a dialog that does not begin. If a leg that shares the session is up, the session is stored now.
  dropPending(id, done) {
    const isDue = this.saveDue && this.#keys.ids.length > 1;
    this.saveDue = false;
    this.removeKey(id, isDue ? (err) => (err ? done(err) : this.write(SaveMode.ALWAYS, done)) : done);
  }

  // Reports an error that no caller waits for: not that a change came too late, if this process has ended the session.
  report(err) {
    if (err && !(err.code === ErrorCode.GONE && this.#isEnded)) this.engine.report(err);
  }

  #whenWritten(written) {
    if (this.engine.flushScheduled && this.#content.hasNoChange()) this.engine.whenWritten(written);
  }

  // Removes the session with all of its keys.
  remove(done) {
    this.#isEnded = true;
    const { ids } = this.#keys;
    this.#refreshKeys();
    const removed = (err) => {
      this.unlist(ids);
      done(err);
    };
    this.engine.run(removed, 'destroy', this.record);
  }

  // Asks the store again, by the first key, and merges what others have stored. The session may have other keys, so that it
  // is not taken for removed where this one leads nowhere: the next write will tell.
  reload(done) {
    const [id] = this.#keys.ids;
    if (id === undefined) return done(null);
    const loaded = (err, value) => {
      if (err) return done(err);
      if (typeof value === 'boolean') this.merge(value);
      done(null);
    };
    this.engine.run(loaded, 'load', id, this.record, true);
  }

  // A load has found this session: `value` is its record; or `true` if the record is current, `false` if it must be merged.
  loaded(value) {
    if (value !== this.record) this.merge(value === true);
    if (value !== true) this.#isStored = true;
    if (this.#isStored) this.degraded = false;
  }

  // A load has found nothing under a key of this session; it may have other keys.
  keyNotFound() {
    this.#refreshKeys();
  }

  // Merges what others have stored into the data object and the resources: nothing if the record `isCurrent`.
  merge(isCurrent) {
    if (isCurrent) return this.#content.mergeAgain();
    this.#refreshKeys();
    this.#keys.write();
    this.#content.merge();
  }

  // The record may have lost keys.
  #refreshKeys() {
    const { ids } = this.#keys;
    this.#keys.refresh();
    this.unlist(ids.filter((id) => !this.has(id)));
  }

  get #isLive() {
    return this.#retained > 0 || this.older !== undefined;
  }

  // While it is retained, a request for one of its keys gets this object.
  retain() {
    if (this.#retained++ > 0) return;
    if (this.older === undefined) for (const id of this.#keys.ids) this.engine.sessions.add(id, this);
    else this.engine.sessions.drop(this);
  }

  // The last release() makes it a recently used session, if the store has it to compare with and a load would make the same
  // data.
  release() {
    if (this.#retained === 0 || --this.#retained > 0) return;
    const content = this.#content;
    if (this.#isStored && (this.#isCompared ? content.isPlain : content.isReproducible())) {
      this.engine.sessions.keep(this, this.#content.length);
    } else this.unlist();
  }

  // Requests get it by all of its keys again.
  relist() {
    if (this.#isLive) for (const id of this.#keys.ids) this.engine.sessions.add(id, this);
  }

  // No request gets it any more by these keys.
  unlist(ids = this.#keys.ids) {
    for (const id of ids) this.engine.sessions.delete(id, this);
  }

  get reference() {
    return (this.#reference ??= new WeakRef(this));
  }
}

module.exports = StoredSession;
