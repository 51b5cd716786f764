'use strict';
// Finds a session by a key, or by the tags of its dialog: the live one, up to date, or one that the store has.

const native = require('../native');
const { KEY_PREFIX } = require('../native/constants');

// callback(err, mks), with null if there is no such session; in the same turn if the store need not be asked. `live` is the
// live session with that key, `make(record)` makes a session of what was loaded.
function find(engine, id, live, make, callback) {
  const loaded = (err, value) => {
    if (err) {
      live?.release();
      return callback(err);
    }
    try {
      const other = value !== null && typeof value !== 'boolean' ? sameSession(engine, value) : null;
      // the load is older than a save of that session since
      if (other && native.recordIsBehind(other.record)) return find(engine, id, other, make, callback);
      const [thrown, mks] = take(value, other);
      callback(thrown, mks);
    } finally {
      live?.release();
    }
  };
  // [err, mks] of a load; data that can't be read is its error
  const take = (value, other) => {
    if (value === null) {
      live?.keyNotFound();
      return [null, null];
    }
    try {
      const mks = typeof value === 'boolean' ? live : other || make(value);
      mks.loaded(value);
      return [null, mks];
    } catch (thrown) {
      return [thrown];
    }
  };
  live?.retain();
  if (live?.has(id) && engine.isCurrent(live.record)) return loaded(null, true);
  engine.run(loaded, 'load', id, live?.record);
}

// The live session of a loaded record: another load may have made it meanwhile, or it is live under another key.
function sameSession(engine, record) {
  if (engine.sessions.size === 0) return null;
  for (const name of native.recordKeys(record)) {
    const session = engine.sessions.find(name.slice(KEY_PREFIX.length));
    if (session && native.recordAbsorb(session.record, record) !== null) return session;
  }
  return null;
}

// Finds the session of a dialog under each id that its key may have: callback(err, mks, id), without them if there is none.
// `tags`: `callId`, `remote` and `local`. With `isEither`, each tag may be that of the other side. With `isRetry` they are
// those of a request that answers a challenge: it goes on with the session of the challenged one, which may have had another
// tag.
function findDialog(engine, tags, make, callback) {
  const { callId, remote, local, isEither, isRetry } = tags;
  const ids = native.dialogIds(callId, remote, local);
  if (isEither) ids.push(...native.dialogIds(callId, local, remote).slice(1));
  const keyOf = (mks, id) => {
    if (isRetry) return mks.awaitsRetry(id) ? id : null;
    return mks.keyOf(callId, remote, local) ?? (isEither ? mks.keyOf(callId, local, remote) : null);
  };
  const next = (at) => {
    if (at === ids.length) return callback(null, null);
    const id = ids[at];
    find(engine, id, engine.sessions.get(id), make, (err, mks) => {
      if (err) return callback(err);
      const own = mks && keyOf(mks, id);
      if (own) return callback(null, mks, own);
      // the first of several requests with a Call-ID has the first id: without it there was no other
      if (isRetry && !mks) return callback(null, null);
      next(at + 1);
    });
  };
  next(0);
}

module.exports = { find, findDialog };
