'use strict';
// Finds a session by a key: the one that is here, up to date, or another one that the store has.

const native = require('./native');
const { PREFIX } = require('./session-keys');

// callback(err, mks), without mks if there is none; in the same turn if nobody has to be asked. `live` is the one that is
// here under that key, `make(record)` makes one of what was loaded.
function find(engine, id, live, make, callback) {
  const found = (err, value) => {
    if (err) {
      live?.release();
      return callback(err);
    }
    try {
      const other = value !== null && typeof value !== 'boolean' ? known(engine, value) : null;
      // what was found is older than what that one has written since
      if (other && native.recordIsBehind(other.record)) return find(engine, id, other, make, callback);
      const [thrown, mks] = take(value, other);
      callback(thrown, mks);
    } finally {
      live?.release();
    }
  };
  // the session of a load; data that can't be read is its error
  const take = (value, other) => {
    if (value === null) {
      live?.lostKey();
      return [null, null];
    }
    try {
      const mks = typeof value === 'boolean' ? live : other || make(value);
      mks.found(value);
      return [null, mks];
    } catch (thrown) {
      return [thrown];
    }
  };
  live?.hold();
  if (live?.has(id) && engine.knows(live.record)) return found(null, true);
  engine.run(found, 'load', id, live?.record);
}

// The session that another load has brought home while this one was under way.
function known(engine, record) {
  if (engine.live.size === 0) return null;
  for (const name of native.recordKeys(record)) {
    const session = engine.find(name.slice(PREFIX.length));
    if (session && native.recordAbsorb(session.record, record) !== null) return session;
  }
  return null;
}

module.exports = find;
