'use strict';
// Finds a session by a key: the live one, up to date, or one that the store has.

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

module.exports = find;
