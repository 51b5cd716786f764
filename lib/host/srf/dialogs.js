'use strict';
// The Dialogs of a drachtio-srf application. Each retains its session while it lives, and has `session` and `mks`. When it
// ends, whichever side ends it, its key is removed.

const debug = require('debug')('drachtio:session');
const { ErrorCode, SaveMode } = require('../../native/constants');
const Session = require('../../session/session');
const Transaction = require('../../transaction/transaction');

class Dialogs {
  #host;
  // by Dialog, its session and the id of its key
  #sessions = new WeakMap();
  // by request, its leg
  #legs = new WeakMap();
  // by session, its legs that were accepted and whose ACK the application sends itself (third party call control)
  #unconfirmed = new WeakMap();

  constructor(host) {
    this.#host = host;
  }

  expect(leg) {
    this.#legs.set(leg.req, leg);
  }

  // A leg was accepted; drachtio-srf makes a Dialog of it when the application sends the ACK, which it may never do.
  unconfirmed(leg) {
    const { mks } = leg;
    if (!this.#unconfirmed.has(mks)) this.#unconfirmed.set(mks, new Set());
    this.#unconfirmed.get(mks).add(leg);
  }

  #confirm(leg) {
    if (this.#unconfirmed.get(leg.mks)?.delete(leg)) leg.answered(200, true);
    else if (leg.isAbandoned) leg.resume();
  }

  // A dialog of a session has ended: the application may never send the ACK of legs that are still unconfirmed.
  #abandonUnconfirmed(mks) {
    const legs = this.#unconfirmed.get(mks);
    this.#unconfirmed.delete(mks);
    legs?.forEach((leg) => leg.abandon());
  }

  began(dialog) {
    if (this.#sessions.has(dialog)) return;
    const leg = this.#legs.get(dialog.req);
    if (leg) this.#confirm(leg);
    const { mks, id } = leg ?? this.#accepted(dialog);
    this.#sessions.set(dialog, { mks, id });
    mks.attachTo(dialog);
  }

  // the session of a dialog that the remote side began
  #accepted({ req, sip }) {
    const transaction = Transaction.of(req);
    const id = transaction?.id ?? sip.callId;
    const mks = transaction?.mks ?? new Session({ store: this.#host.engine.store }).set(id);
    mks.retain();
    return { mks, id };
  }

  ended(dialog) {
    const known = this.#sessions.get(dialog);
    if (!known) return;
    this.#sessions.delete(dialog);
    const { mks, id } = known;
    debug('%s: dialog ended, key removed', id);
    this.#abandonUnconfirmed(mks);
    const shared = mks.keyCount > 1;
    this.#host.dialogEnded(mks, id);
    // The handlers of 'destroy' run next. What they change is saved if another leg shares the session and has not ended too.
    const report = (err) => err?.code !== ErrorCode.GONE && this.#host.engine.report(err);
    setImmediate(() => {
      if (shared) mks.write(SaveMode.CHANGES, report);
      mks.release();
    });
  }
}

module.exports = Dialogs;
