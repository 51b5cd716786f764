'use strict';
// update(change): an atomic read-modify-write of a session, across processes. The change is made to a copy of what is
// stored, and stored only if that is still what is stored; otherwise it is made again.

const { setTimeout: sleep } = require('node:timers/promises');
const { isPromise } = require('node:util/types');
const codec = require('./codec');
const native = require('./native');
const SessionError = require('./errors');
const { SessionData, fill } = require('./session-data');

// attempts after which a writer insists on its turn, and waits before the next one
const PATIENCE = 2;
const PAUSE = 1; // ms

class Updates {
  #mks;
  #waiting = [];
  #running = false;

  constructor(mks) {
    this.#mks = mks;
  }

  // `done(err, value)` comes with what `change(data)` gave. Updates of this process go one after the other, those that
  // wait together.
  add(change, done) {
    if (typeof change !== 'function') {
      return done(new SessionError('ERR_SESSION_ARGUMENT', 'update(change) needs a function of the data'));
    }
    const later = (...outcome) => process.nextTick(done, ...outcome);
    this.#waiting.push({ change, done: later, deadline: Date.now() + this.#mks.engine.native.timeout });
    if (!this.#running) this.#run();
  }

  async #run() {
    this.#running = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#flush();
        await this.#load();
        await this.#store(batch);
      } catch (err) {
        batch.forEach(({ done }) => done(err));
      }
    }
    this.#running = false;
  }

  // What this process has changed goes first: an update sees it.
  #flush() {
    const extent = native.recordIsStored(this.#mks.record) ? 0 : 1;
    return new Promise((resolve, reject) => {
      this.#mks.write(extent, (err) => (err ? reject(err) : resolve()));
    });
  }

  #load() {
    return new Promise((resolve, reject) => {
      this.#mks.reload((err) => (err ? reject(err) : resolve()));
    });
  }

  async #store(batch) {
    const mks = this.#mks;
    for (let attempt = 0; batch.length > 0; attempt++) {
      const before = native.recordText(mks.record);
      const { made, text } = this.#make(batch, before);
      try {
        await this.#swap(text, attempt >= PATIENCE);
        mks.loaded(false);
        return made.forEach(({ done, err, value }) => done(err, value));
      } catch (err) {
        if (err.code !== 'ERR_SESSION_CONFLICT') throw err;
        mks.loaded(false);
      }
      const now = Date.now();
      batch.filter(({ deadline }) => deadline <= now).forEach(({ done }) => done(tooLate(mks)));
      batch = batch.filter(({ deadline }) => deadline > now);
      if (attempt > PATIENCE) await sleep(PAUSE * Math.random());
    }
  }

  // Makes the changes, each to what the one before has left. One that throws has changed nothing; that it has thrown is
  // told when it is certain that it has seen the newest data.
  #make(batch, before) {
    const made = [];
    let text = before;
    for (const { change, done } of batch) {
      const data = new SessionData(this.#mks);
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

  // Also where nothing was changed: what was looked at may be older than what is stored.
  #swap(text, insists) {
    const mks = this.#mks;
    return new Promise((resolve, reject) => {
      const swapped = (err) => (err ? reject(err) : resolve());
      mks.engine.run(swapped, 'swap', mks.record, text, insists, mks.store.ttlOf?.(mks));
    });
  }
}

function tooLate(mks) {
  const message = `${mks.uuid}: others kept changing it until the deadline; nothing was written`;
  return new SessionError('ERR_SESSION_CONFLICT', message);
}

module.exports = Updates;
