'use strict';
// update(change): an atomic read-modify-write of a session, across processes. The change is made to a copy of what is
// stored, and stored only if that is still what is stored; otherwise it is made again.
//
// All objects of a session in this process share one queue, so that they do not compete: what waits is done together, by
// the first of them, and the others take over what it has stored.

const { setTimeout: sleep } = require('node:timers/promises');
const { isPromise } = require('node:util/types');
const codec = require('./codec');
const native = require('./native');
const promised = require('./promised');
const SessionError = require('./errors');
const { SessionData, fill } = require('./session-data');

// attempts after which a writer insists on its turn, and waits before the next one
const PATIENCE = 2;
const PAUSE = 1; // ms

class Updates {
  #waiting = [];

  // `done(err, value)` comes with what `change(data)` gave.
  static add(mks, change, done) {
    if (typeof change !== 'function') {
      return done(new SessionError('ERR_SESSION_ARGUMENT', 'update(change) needs a function of the data'));
    }
    const { uuid, engine } = mks;
    const later = (...outcome) => process.nextTick(done, ...outcome);
    const item = { mks, change, done: later, deadline: Date.now() + native.engineTimeout(engine.native) };
    const running = engine.updates.get(uuid);
    if (running) return void running.#waiting.push(item);
    const updates = new Updates();
    updates.#waiting.push(item);
    engine.updates.set(uuid, updates);
    updates.#run(() => engine.updates.delete(uuid));
  }

  // `over` is called in the turn in which nothing waits any more.
  async #run(over) {
    while (this.#waiting.length > 0) {
      let batch = this.#waiting;
      this.#waiting = [];
      try {
        batch = await flushed(batch);
        if (batch.length === 0) continue;
        const [{ mks }] = batch;
        await asked((done) => mks.reload(done));
        await this.#store(mks, batch);
      } catch (err) {
        batch.forEach(({ done }) => done(err));
      }
    }
    over();
  }

  async #store(mks, batch) {
    for (let attempt = 0; batch.length > 0; attempt++) {
      const { made, text } = make(batch, native.recordText(mks.record));
      // Also where nothing was changed: what was looked at may be older than what is stored.
      const args = [mks.record, text, attempt >= PATIENCE, mks.store.ttlOf?.(mks)];
      const err = await asked((done) => mks.engine.run(done, 'swap', ...args)).catch((reason) => reason);
      if (err && err.code !== 'ERR_SESSION_CONFLICT') return batch.forEach(({ done }) => done(err));
      mks.loaded(false);
      if (!err) {
        share(mks, batch);
        return made.forEach((each) => each.done(each.err, each.value));
      }
      const now = Date.now();
      batch.filter(({ deadline }) => deadline <= now).forEach(({ done }) => done(tooLate(mks)));
      batch = batch.filter(({ deadline }) => deadline > now);
      if (attempt > PATIENCE) await sleep(PAUSE * Math.random());
    }
  }
}

const asked = (ask) => promised(undefined, ask);

// What this process has changed goes first: an update sees it. Gives those whose session could be saved.
async function flushed(batch) {
  const failed = new Map();
  const flush = async (mks) => {
    const extent = native.recordIsStored(mks.record) ? 0 : 1;
    await asked((done) => mks.write(extent, done)).catch((err) => failed.set(mks, err));
  };
  await Promise.all(Array.from(new Set(batch.map(({ mks }) => mks)), flush));
  if (failed.size === 0) return batch;
  batch.forEach(({ mks, done }) => failed.has(mks) && done(failed.get(mks)));
  return batch.filter(({ mks }) => !failed.has(mks));
}

// Makes the changes, each to what the one before has left. One that throws has changed nothing; that it has thrown is told
// when it is certain that it has seen the newest data.
function make(batch, before) {
  const made = [];
  let text = before;
  for (const { mks, change, done } of batch) {
    const data = new SessionData(mks);
    fill(data, codec.decode(text));
    try {
      const value = change(data);
      if (isPromise(value)) {
        value.catch(() => undefined);
        const message = 'the function given to update() must not be asynchronous: it may be called more than once';
        throw new SessionError('ERR_SESSION_ARGUMENT', message);
      }
      text = codec.encode(data);
      made.push({ done, err: null, value });
    } catch (err) {
      made.push({ done, err });
    }
  }
  return { made, text };
}

// Brings what one object of the session has stored to the others.
function share(from, batch) {
  for (const mks of new Set(batch.map((item) => item.mks))) {
    if (mks === from) continue;
    const differs = native.recordAbsorb(mks.record, from.record);
    try {
      if (differs !== null) mks.loaded(!differs);
    } catch (err) {
      mks.engine.report(err);
    }
  }
}

function tooLate(mks) {
  const message = `${mks.uuid}: others kept changing it until the deadline; nothing was written`;
  return new SessionError('ERR_SESSION_CONFLICT', message);
}

module.exports = Updates;
