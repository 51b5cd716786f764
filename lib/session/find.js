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

// How well a session fits
const [BY_NAME, EARLY, EXACT] = [1, 2, 3];

// How well a session fits the tags of a dialog: {id, rank} with the id of its key, null if it does not fit. `id`: the id under
// which it was found. The leg descriptor of a key says whose tag the dialog has; a key without one fits by its name, and gives
// way to another session.
function fit(mks, id, { callId, remote, local, isEither, isRetry }) {
  if (isRetry) {
    // the caller may have taken another tag
    const rank = mks.legOf(id)?.startsWith(`<${remote} `) ? EXACT : BY_NAME;
    return mks.awaitsRetry(id) ? { id, rank } : null;
  }
  const own = mks.keyOf(callId, remote, local) ?? (isEither ? mks.keyOf(callId, local, remote) : null);
  return own === null ? null : { id: own, rank: /^[<>]/.test(mks.legOf(own) ?? '') ? EXACT : BY_NAME };
}

// The ids that the key of a dialog may have, the most likely first.
function idsOf({ callId, remote, local, isEither }) {
  const ids = native.dialogIds(callId, remote, local);
  return isEither ? [...ids, ...native.dialogIds(callId, local, remote).slice(1)] : ids;
}

// Finds the session of a dialog: callback(err, mks, id), without them if there is none. `tags`: `callId`, `remote` and
// `local`. With `isEither`, each tag may be that of the other side. With `isRetry` they are those of a request that answers a
// challenge: it goes on with the session of the challenged one.
function findDialog(engine, tags, make, callback) {
  const ids = idsOf(tags);
  let second = null;
  const next = (at) => {
    if (at === ids.length) return callback(null, second?.mks ?? null, second?.id);
    const id = ids[at];
    find(engine, id, engine.sessions.get(id), make, (err, mks) => {
      if (err) return callback(err);
      const found = mks && fit(mks, id, tags);
      if (found?.rank === EXACT) return callback(null, mks, found.id);
      if (found) second ??= { mks, id: found.id };
      // the Call-ID alone is the id of the first of several dialogs
      if (tags.isRetry && !mks && at === 0) return callback(null, null);
      next(at + 1);
    });
  };
  next(0);
}

// The live session of a dialog, as {mks, id}; undefined if there is none in this process. Of several forks with one From tag
// the one that was answered has the dialog.
function findLiveDialog({ sessions }, tags) {
  let best;
  for (const id of idsOf(tags)) {
    const mks = sessions.find(id);
    const found = mks && fit(mks, id, tags);
    if (!found) continue;
    const isEarly = found.rank === EXACT && !tags.isRetry && mks.pending?.id === found.id;
    const rank = isEarly ? EARLY : found.rank;
    if (rank > (best?.rank ?? 0)) best = { mks, id: found.id, rank };
  }
  return best;
}

module.exports = { find, findDialog, findLiveDialog };
