'use strict';
// The Dialogs of a drachtio-srf application: each holds its session in this process while it lives, has `session` and
// `mks`, and takes its key along when it ends, whoever ends it.

const debug = require('debug')('drachtio:session');
const Message = require('./message');
const { Finish } = require('./rules');
const { Session } = require('./session');

class Dialogs {
  #host;
  // by Dialog: its session and the id of its key
  #holders = new WeakMap();
  // by request: the leg that it was sent for
  #legs = new WeakMap();
  // by session: its legs that were answered, and whose ACK is left to the application (3pcc)
  #unconfirmed = new WeakMap();

  constructor(host) {
    this.#host = host;
  }

  expect(leg) {
    this.#legs.set(leg.req, leg);
  }

  // A leg was answered; it is a dialog when the application has sent the ACK, if ever.
  unconfirmed(leg) {
    const { mks } = leg;
    if (!this.#unconfirmed.has(mks)) this.#unconfirmed.set(mks, new Set());
    this.#unconfirmed.get(mks).add(leg);
  }

  #confirm(leg) {
    if (this.#unconfirmed.get(leg.mks)?.delete(leg)) leg.answered(200, true);
    else if (leg.isGivenUp) leg.resume();
  }

  // A dialog of a session has ended: its legs that still wait for their ACK may wait in vain.
  #giveUp(mks) {
    const legs = this.#unconfirmed.get(mks);
    this.#unconfirmed.delete(mks);
    legs?.forEach((leg) => leg.giveUp());
  }

  began(dialog) {
    if (this.#holders.has(dialog)) return;
    const leg = this.#legs.get(dialog.req);
    if (leg) this.#confirm(leg);
    const { mks, id } = leg ?? this.#accepted(dialog);
    this.#holders.set(dialog, { mks, id });
    mks.attachTo(dialog);
  }

  // the session of a dialog that the far end began
  #accepted({ req, sip }) {
    const message = Message.of(req);
    const id = message?.id ?? sip.callId;
    const mks = message?.mks ?? new Session({ store: this.#host.engine.store }).set(id);
    mks.hold();
    return { mks, id };
  }

  ended(dialog) {
    const holder = this.#holders.get(dialog);
    if (!holder) return;
    this.#holders.delete(dialog);
    const { mks, id } = holder;
    debug('%s: dialog ended, key removed', id);
    this.#giveUp(mks);
    const shared = mks.keyCount > 1;
    this.#host.ended(mks, id);
    // The handlers of 'destroy' come next. What they change is saved if another leg has the session, and still has it.
    const report = (err) => err?.code !== 'ERR_SESSION_GONE' && this.#host.engine.report(err);
    setImmediate(() => {
      if (shared) mks.write(Finish.SAVE_CHANGES, report);
      mks.release();
    });
  }
}

module.exports = Dialogs;
