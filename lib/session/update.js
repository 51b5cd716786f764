'use strict';
// update(change): an atomic read-modify-write of a session, across processes. The change is applied to a copy of what is
// stored and written by a compare-and-set; if that fails, it is applied again to what is stored then.
//
// All objects of a session in this process share one queue, so that they do not compete. The first object applies all
// changes that wait and stores them together; the others merge what it has stored.

const { setTimeout: sleep } = require('node:timers/promises');
const { isPromise } = require('node:util/types');
const callbackOrPromise = require('../callback-or-promise');
const { SessionError } = require('../errors');
const native = require('../native');
const { ErrorCode, SaveMode } = require('../native/constants');
const codec = require('./codec');
const { SessionData, fill, written } = require('./data');
const { Snapshot } = require('./snapshot');

// attempts before the writer asks for the write reservation, and pauses between attempts
const FREE_ATTEMPTS = 2;
const PAUSE = 1; // ms

class Updates {
  #queue = [];

  // `done(err, value)` comes with what `change(data)` returned.
  static add(mks, change, done) {
    if (typeof change !== 'function') {
      return done(new SessionError(ErrorCode.ARGUMENT, 'update(change) needs a function of the data'));
    }
    const { uuid, engine } = mks;
    let isDone = false;
    const later = (...outcome) => {
      if (!isDone) process.nextTick(done, ...outcome);
      isDone = true;
    };
    const update = { mks, change, done: later, deadline: Date.now() + engine.timeout };
    const running = engine.updates.get(uuid);
    if (running) return void running.#queue.push(update);
    const updates = new Updates();
    updates.#queue.push(update);
    engine.updates.set(uuid, updates);
    updates.#run(() => engine.updates.delete(uuid));
  }

  // Calls `empty` in the turn in which the queue is empty.
  async #run(empty) {
    while (this.#queue.length > 0) {
      let batch = this.#queue;
      this.#queue = [];
      try {
        batch = await saveFirst(batch);
        if (batch.length === 0) continue;
        const [{ mks }] = batch;
        await promised((done) => mks.reload(done));
        await this.#store(mks, batch);
      } catch (err) {
        batch.forEach(({ done }) => done(err));
      }
    }
    empty();
  }

  async #store(mks, batch) {
    for (let attempt = 0; batch.length > 0; attempt++) {
      const { outcomes, patch } = apply(batch, native.recordStored(mks.record));
      // Also where nothing was changed: what the changes were applied to may be older than what is stored.
      const args = [mks.record, patch.set, patch.removed, attempt >= FREE_ATTEMPTS, mks.store.ttlOf?.(mks)];
      const err = await promised((done) => mks.engine.run(done, 'compareAndSet', ...args)).catch((reason) => reason);
      if (err && err.code !== ErrorCode.CONFLICT) return batch.forEach(({ done }) => done(err));
      mks.merge(false);
      if (!err) {
        share(mks, batch);
        return outcomes.forEach((outcome) => outcome.done(outcome.err, outcome.value));
      }
      const now = Date.now();
      batch.filter(({ deadline }) => deadline <= now).forEach(({ done }) => done(conflict(mks)));
      batch = batch.filter(({ deadline }) => deadline > now);
      if (attempt > FREE_ATTEMPTS) await sleep(PAUSE * Math.random());
    }
  }
}

const promised = (start) => callbackOrPromise(undefined, start);

// Saves what this process has changed, so that the updates see it. Gives the updates whose session could be saved.
async function saveFirst(batch) {
  const failed = new Map();
  const save = async (mks) => {
    const mode = native.recordIsStored(mks.record) ? SaveMode.CHANGES : SaveMode.ALWAYS;
    await promised((done) => mks.write(mode, done)).catch((err) => failed.set(mks, err));
  };
  await Promise.all(Array.from(new Set(batch.map(({ mks }) => mks)), save));
  if (failed.size === 0) return batch;
  batch.forEach(({ mks, done }) => failed.has(mks) && done(failed.get(mks)));
  return batch.filter(({ mks }) => !failed.has(mks));
}

// Applies the changes in turn to the data of a text, and gives what they come to. One that throws changes nothing; its
// caller gets the error once it is certain that the change has seen the newest data.
function apply(batch, before) {
  const outcomes = [];
  let text = before;
  const dataOf = (mks) => {
    const data = new SessionData(mks);
    fill(data, codec.decode(text));
    return data;
  };
  const first = dataOf(batch[0].mks);
  const snapshot = Snapshot.of(first);
  let last;
  for (const update of batch) {
    const { mks, change, done } = update;
    const data = update === batch[0] ? first : dataOf(mks);
    try {
      const value = change(data);
      if (isPromise(value)) {
        value.catch(() => undefined);
        const message = 'the function given to update() must not be asynchronous: it may be called more than once';
        throw new SessionError(ErrorCode.ARGUMENT, message);
      }
      text = codec.encode(data);
      last = data;
      outcomes.push({ done, err: null, value });
    } catch (err) {
      outcomes.push({ done, err });
    }
  }
  return { outcomes, patch: (last && snapshot.patchOf(written(last))) ?? {} };
}

// Merges what one object of the session has stored into the others.
function share(from, batch) {
  for (const mks of new Set(batch.map((update) => update.mks))) {
    if (mks === from) continue;
    const differs = native.recordAbsorb(mks.record, from.record);
    try {
      if (differs !== null) mks.merge(!differs);
    } catch (err) {
      mks.engine.report(err);
    }
  }
}

function conflict(mks) {
  const message = `${mks.uuid}: other writers kept changing it until the deadline; nothing was written`;
  return new SessionError(ErrorCode.CONFLICT, message);
}

module.exports = Updates;
