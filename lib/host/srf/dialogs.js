'use strict';
// The Dialogs of a drachtio-srf application. Each has a leg, which retains its session while it lives. When the Dialog ends,
// whichever side ends it, its key is removed.

const debug = require('debug')('drachtio:session');
const afterTurn = require('../../after-turn');
const { attachHolder } = require('../../session/attach');
const Session = require('../../session/session');
const Transaction = require('../../transaction/transaction');
const { Leg } = require('./leg');
const Renewal = require('./renewal');

class Dialogs {
  #host;
  // by session, its legs that were accepted and whose ACK the application sends itself (third party call control)
  #unconfirmed = new Map();
  #renewal;

  constructor(host) {
    this.#host = host;
    this.#renewal = new Renewal(host.engine.ttlMayBeShort);
  }

  // A leg was accepted; drachtio-srf makes a Dialog of it when the application sends the ACK, which it may never do.
  unconfirmed(leg) {
    const { mks } = leg;
    if (!this.#unconfirmed.has(mks)) this.#unconfirmed.set(mks, new Set());
    this.#unconfirmed.get(mks).add(leg);
  }

  #confirm(leg) {
    const legs = this.#unconfirmed.get(leg.mks);
    if (legs?.delete(leg)) {
      if (legs.size === 0) this.#unconfirmed.delete(leg.mks);
      leg.answered(200, true);
    } else if (leg.isAbandoned) leg.resume();
  }

  // A dialog of a session has ended: the application may never send the ACK of legs that are still unconfirmed.
  #abandonUnconfirmed(mks) {
    const legs = this.#unconfirmed.get(mks);
    if (legs === undefined) return;
    this.#unconfirmed.delete(mks);
    legs.forEach((leg) => leg.abandon());
  }

  began(dialog) {
    if (Leg.of(dialog)) return;
    const { req } = dialog;
    let leg = req && Leg.of(req);
    if (leg) this.#confirm(leg);
    else leg = this.#accepted(dialog);
    leg.dialog = dialog;
    attachHolder(dialog, leg);
    this.#renewal.add(leg);
  }

  // the leg of a dialog that the remote side began
  #accepted({ req, sip }) {
    const host = this.#host;
    const transaction = req && Transaction.of(req);
    if (!transaction) {
      const id = sip?.callId;
      const mks = new Session({ store: host.engine.store });
      if (id) mks.set(id);
      return new Leg(host, mks, id);
    }
    const leg = new Leg(host, transaction.mks, transaction.id, transaction.descriptor);
    transaction.leg = leg;
    return leg;
  }

  ended(dialog) {
    const leg = Leg.of(dialog);
    if (!leg || leg.hasEnded) return;
    leg.hasEnded = true;
    this.#renewal.delete(leg);
    const { id, mks } = leg;
    debug('%s: dialog ended, key removed', id);
    this.#abandonUnconfirmed(mks);
    leg.wasShared = mks.keyCount > 1;
    if (id !== undefined) this.#host.dialogEnded(mks, id);
    afterTurn(leg);
  }
}

module.exports = Dialogs;
