'use strict';
// Renews the sessions of the legs that are up, so that a session lasts as long as its dialogs: when half of the TTL is over,
// a save restarts it.

const native = require('../../native');
const { ErrorCode, SaveMode } = require('../../native/constants');

const INTERVAL = 1000; // ms between two looks at the legs
const SHORT_INTERVAL = 50; // the same, where a TTL is short
const SHORT = 4 * INTERVAL; // ms until a renewal falls due

class Renewal {
  // The legs that are up, in no order: the last one takes the place of one that ends.
  #legs = [];
  #timer = null;
  #interval = INTERVAL;
  #isClosed = false;
  #mayBeShort;

  // `mayBeShort`: whether a TTL may be less than some seconds
  constructor(mayBeShort) {
    this.#mayBeShort = mayBeShort;
  }

  add(leg) {
    leg.index = this.#legs.length;
    leg.dueAt = 0;
    this.#legs.push(leg);
    if (this.#timer === null && !this.#isClosed) this.#start(INTERVAL);
    if (this.#mayBeShort) this.#schedule(leg, Date.now());
  }

  delete(leg) {
    if (leg.index < 0) return;
    const last = this.#legs.pop();
    if (last !== leg) {
      last.index = leg.index;
      this.#legs[leg.index] = last;
    }
    leg.index = -1;
  }

  #start(interval) {
    clearInterval(this.#timer);
    this.#interval = interval;
    this.#timer = setInterval(() => this.#look(), interval);
    this.#timer.unref?.();
  }

  #look() {
    if (this.#legs.length === 0 || this.#isClosed) {
      clearInterval(this.#timer);
      this.#timer = null;
      return;
    }
    const now = Date.now();
    for (const leg of this.#legs) if (leg.dueAt <= now && !this.#isClosed) this.#schedule(leg, now);
  }

  // Another process may have ended the session, and the application may have closed the store.
  #renewed(err, mks) {
    if (err?.code === ErrorCode.STORE_CLOSED) this.#isClosed = true;
    else if (err && err.code !== ErrorCode.GONE) mks.report(err);
  }

  // Asks the record when the renewal of a leg's session falls due; renews it if that is now.
  #schedule(leg, now) {
    const { mks } = leg;
    const due = mks.removed ? null : native.recordRenewalIn(mks.record);
    // a session that is not stored yet, or that does not expire
    if (due === null) leg.dueAt = now + INTERVAL;
    else if (due > 0) {
      leg.dueAt = now + due;
      if (due < SHORT && this.#interval !== SHORT_INTERVAL) this.#start(SHORT_INTERVAL);
    } else {
      leg.dueAt = now + this.#interval;
      mks.write(SaveMode.CHANGES, (err) => this.#renewed(err, mks));
    }
  }
}

module.exports = Renewal;
