'use strict';
// Renews the sessions of the legs that are up, so that a session lasts as long as its dialogs: when half of the TTL is over,
// a save restarts it.

const native = require('../../native');
const { ErrorCode, SaveMode } = require('../../native/constants');

const INTERVAL = 1000; // ms between two looks at the legs
const SHORT_INTERVAL = 200; // the same, where a TTL may be short
const PAUSE = 10000; // ms after a renewal that has failed

class Renewal {
  // The legs that are up, in no order: the last one takes the place of one that ends.
  #legs = [];
  #timer = null;
  #isClosed = false;
  #mayBeShort;

  // `mayBeShort`: whether a TTL may be less than some seconds
  constructor(mayBeShort) {
    this.#mayBeShort = mayBeShort;
  }

  add(leg) {
    leg.index = this.#legs.length;
    this.#legs.push(leg);
    if (this.#timer !== null || this.#isClosed) return;
    this.#timer = setInterval(() => this.#look(), this.#mayBeShort ? SHORT_INTERVAL : INTERVAL);
    this.#timer.unref?.();
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

  #look() {
    if (this.#legs.length === 0 || this.#isClosed) {
      clearInterval(this.#timer);
      this.#timer = null;
      return;
    }
    const now = Date.now();
    for (const leg of this.#legs) if (leg.dueAt <= now) this.#renewIfDue(leg, now);
  }

  // Asks the record when the renewal of a leg's session falls due; renews it if that is now. A save may give another TTL, so
  // a short one is asked for again at each look.
  #renewIfDue(leg, now) {
    const { mks } = leg;
    const due = mks.removed ? null : native.recordRenewalIn(mks.record);
    if (due === 0) {
      leg.dueAt = Infinity;
      mks.write(SaveMode.CHANGES, (err) => this.#renewed(leg, err));
    } else if (due !== null && !this.#mayBeShort) leg.dueAt = now + due;
  }

  // Another process may have ended the session, and the application may have closed the store.
  #renewed(leg, err) {
    leg.dueAt = 0;
    if (!err) leg.renewalFails = false;
    else if (err.code === ErrorCode.STORE_CLOSED) this.#isClosed = true;
    else if (err.code !== ErrorCode.GONE) {
      leg.dueAt = Date.now() + PAUSE;
      if (!leg.renewalFails) leg.mks.report(err);
      leg.renewalFails = true;
    }
  }
}

module.exports = Renewal;
