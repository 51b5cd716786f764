'use strict';
// Session, the multi-key session ("mks"), with its public methods: one data object, found by any of its keys.

const { inspect } = require('node:util');
const callbackOrPromise = require('../callback-or-promise');
const { SessionError } = require('../errors');
const native = require('../native');
const { ErrorCode, SaveMode } = require('../native/constants');
const { engineOf } = require('../store/engines');
const { holderOf } = require('./attach');
const codec = require('./codec');
const { SessionData } = require('./data');
const { find, findDialog } = require('./find');
const Keys = require('./keys');
const StoredSession = require('./stored-session');
const Updates = require('./update');

class Session extends StoredSession {
  // The placeholder for a session with the key `id` that could not be loaded (`failed`) or does not exist.
  // `leg`: the leg descriptor of the dialog that the message begins.
  static placeholder(store, plan, failed, id, leg) {
    const record = native.placeholderRecord(plan, failed, id, leg);
    return record ? new Session({ store }, record, [id]) : new Session({ store }, native.endedRecord(), []);
  }

  // Whether a save would write anything.
  isDirty() {
    return this.patch() !== undefined || native.recordIsDirty(this.record);
  }

  // Removes a key; removing the last key removes the session.
  del(id, callback) {
    if (id !== null && typeof id === 'object') id = id.sessionID;
    return callbackOrPromise(callback, (done) => {
      const invalid = Keys.refusal(id);
      if (invalid) return done(invalid);
      return this.removeKey(id, done);
    });
  }

  // save([callback]), save({ifUnchanged: true}[, callback])
  save(options, callback) {
    if (typeof options === 'function') [options, callback] = [undefined, options];
    return callbackOrPromise(callback, (done) => this.write(SaveMode.ALWAYS, done, options?.ifUnchanged === true));
  }

  // Changes what is stored by `change(data)`, atomically; gives what `change` returned.
  update(change, callback) {
    return callbackOrPromise(callback, (done) => Updates.add(this, change, done));
  }

  // Removes the session with all of its keys.
  destroy(callback) {
    return callbackOrPromise(callback, (done) => this.remove(done));
  }

  // Saves what has changed. Later requests load the session anew.
  close(callback) {
    return callbackOrPromise(callback, (done) =>
      this.write(SaveMode.CHANGES, (err) => {
        this.engine.sessions.drop(this);
        this.unlist();
        done(err);
      })
    );
  }

  // what logs and debuggers show, without the engine
  toJSON() {
    return { uuid: this.uuid, keys: this.keys, session: this.session };
  }

  [inspect.custom](depth, options) {
    return `Session ${inspect(this.toJSON(), options)}`;
  }

  // Finds a session by a key: callback(err, mks), with null if there is none, perhaps in the same turn. `live` is the live
  // session with that key.
  static find(store, id, callback, live = engineOf(store).sessions.get(id)) {
    find(engineOf(store), id, live, (record) => new Session({ store }, record), callback);
  }

  // Finds the session of a dialog: callback(err, mks, id), with the id of its key; without them if there is none. `tags`:
  // `callId`, `remote` and `local`, and what find.js has besides.
  static findDialog(store, tags, callback) {
    const engine = engineOf(store);
    findDialog(engine, tags, (record) => new Session({ store }, record), callback);
  }

  // Moves a dialog, with its key, to this session. What refers to the dialog has this session then; its old session ends if
  // that was its last key.
  adopt(dialog, callback) {
    return callbackOrPromise(callback, (done) => {
      const holder = dialog !== null && typeof dialog === 'object' ? holderOf(dialog) : undefined;
      if (typeof holder?.moveTo === 'function') return holder.moveTo(this, done);
      const message = 'adopt(dialog) needs a Dialog of drachtio-srf that has a session';
      return done(new SessionError(ErrorCode.ARGUMENT, message));
    });
  }

  // loadFromStorage({store}, id), loadFromStorage({store}, {callId, fromTag, toTag})
  static loadFromStorage(options, id, callback) {
    if (!options || !options.store) {
      throw new SessionError(ErrorCode.ARGUMENT, 'Session.loadFromStorage({store}, id) needs a store');
    }
    if (options.resolvers) codec.addClasses(options.resolvers);
    return callbackOrPromise(callback, (done) => {
      if (id !== null && typeof id === 'object') return loadDialog(options.store, id, done);
      const invalid = Keys.refusal(id);
      if (invalid) return done(invalid);
      return Session.find(options.store, id, done);
    });
  }

  static addResolvers(classes) {
    codec.addClasses(classes);
  }
}

const isTag = (tag) => typeof tag === 'string' && /^[^\s;]+$/.test(tag);

// The session of a dialog that a Replaces or Join header names (RFC 3891, RFC 3911). Either tag may be the local one.
function loadDialog(store, { callId, fromTag, toTag }, done) {
  if (!Keys.isId(callId) || !isTag(fromTag) || !isTag(toTag)) {
    const message =
      'a session is found by the id of a key, or by {callId, fromTag, toTag}: three strings that are not empty';
    return done(new SessionError(ErrorCode.ARGUMENT, message));
  }
  const found = (err, mks) => done(err, mks ?? null);
  Session.findDialog(store, { callId, remote: fromTag, local: toTag, isEither: true }, found);
}

Session.SessionProto = SessionData;
Session.resolvers = codec.resolvers;

module.exports = Session;
