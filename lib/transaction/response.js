'use strict';
// Wraps res.send and res.ack of a transaction: the final response, or the ACK, is sent after the session is saved, whether
// that succeeds or not.

const debug = require('debug')('drachtio:session');
const afterTurn = require('../after-turn');
const { statusOf } = require('../host/request');
const { SessionError } = require('../errors');
const { ErrorCode, Event, Finish, Plan } = require('../native/constants');
const rules = require('../native/rules');

// where a response has its transaction, while `res.send` is wrapped
const WRAPPED = Symbol('drachtio-session transaction of a response');

// Delays the final response until the session is saved, and sends it once.
function wrapSend(transaction) {
  const { res } = transaction;
  // a mock may serve several requests
  const before = res[WRAPPED];
  transaction.send = before !== undefined && before.wrapper === res.send ? before.send : res.send;
  // a mock need not be called with `this`
  transaction.wrapper = (...args) => respond(transaction, args);
  res[WRAPPED] = transaction;
  res.send = transaction.wrapper;
}

function respond(transaction, args) {
  const { host, id, req, res, responded, send } = transaction;
  const [status] = args;
  const valid = Number.isInteger(status) && status >= 100 && status < 700 && host.accepts(res, status);
  if (!valid || (status < 200 && !responded)) return send.apply(res, args);
  if (responded) {
    debug('%s %s: there was a final response before, %d is not sent', req.method, id, status);
    return host.refuse(args);
  }
  transaction.responded = true;
  transaction.args = args;
  transaction.status = status;
  transaction.finish = transaction.finishFor(status);
  const delayed = new DelayedResponse(transaction);
  delayed.begin();
  return delayed.result;
}

// One final response, from res.send of the application to that of the host.
class DelayedResponse {
  result = undefined;
  #inSameTurn = true;
  #isSent = false;
  #isConfirmed = false;

  constructor(transaction) {
    this.transaction = transaction;
  }

  begin() {
    const { transaction } = this;
    const { finish, host, res, status } = transaction;
    host.hold(res, status);
    if (finish === Finish.SAVE_DIALOG) {
      const confirmed = host.confirmSend(transaction.args, (err) => sent(transaction, status, err));
      if (confirmed) {
        transaction.args = confirmed;
        this.#isConfirmed = true;
      }
    }
    if (finish === Finish.SAVE_DIALOG && transaction.isPending) host.accepted(transaction);
    this.#store();
    this.#inSameTurn = false;
    if (!this.#isSent) host.delay(res);
  }

  // Saves the session, or removes the key.
  #store() {
    const { finish, id, mks, plan, req, status } = this.transaction;
    if (debug.enabled) {
      debug('%s %s: %d, %s', req.method, id, status, finish === Finish.REMOVE ? 'key removed' : 'saved');
    }
    const stored = (err) => this.#stored(err);
    if (finish === Finish.SAVE_FOR_RETRY) mks.challenged(id);
    if (finish !== Finish.REMOVE) mks.write(rules.saveModeOf(finish), stored);
    else if (plan & Plan.FORMS_DIALOG) mks.dropPending(id, stored);
    // The 200 to a BYE is sent once the removal is written to the store, without waiting for the reply.
    else mks.removeKey(id, stored, plan & Plan.ENDS_DIALOG ? () => this.#send() : undefined);
  }

  #stored(err) {
    const { transaction } = this;
    const { finish, plan, status } = transaction;
    if (plan & (Plan.FORMS_DIALOG | Plan.ENDS_DIALOG)) transaction.decided();
    // canceled while the session was saved
    if (finish !== Finish.REMOVE && transaction.finishFor(status) === Finish.REMOVE) transaction.removeKey();
    if (!this.#isConfirmed) transaction.end(err);
    else if (err) transaction.mks.report(err);
    this.#send();
  }

  // Gives res.send of the host back: what is sent from now on is the host's to refuse.
  afterTurn() {
    const { transaction } = this;
    const { res, send, wrapper } = transaction;
    if (res.send === wrapper) res.send = send;
  }

  // Calls res.send of the host, once.
  #send() {
    if (this.#isSent) return;
    this.#isSent = true;
    const { transaction } = this;
    const { args, host, res, send } = transaction;
    try {
      host.unhold(res, !this.#inSameTurn);
      this.result = send.apply(res, args);
    } catch (err) {
      // nothing was sent: the application may try again
      transaction.responded = false;
      if (this.#inSameTurn) throw err;
      // the handler has returned; its callback, if any, gets the error
      const callback = args.find((arg) => typeof arg === 'function');
      if (callback) return callback(err);
      return reportRefused(transaction, 'response', err);
    }
    afterTurn(this);
  }
}

function reportRefused({ engine, id, req }, what, err) {
  const message = `${req.method} ${id}: the host refused a delayed ${what}: ${err.message}`;
  engine.report(new SessionError(ErrorCode.RESPONSE, message, err));
}

// The host has sent a 2xx that begins a dialog, or was refused. The transaction retained the session until now, so that the
// Dialog, which retains it too, finds it live.
function sent(transaction, status, err) {
  if (err && rules.onEvent(Event.NOT_SENT, transaction.facts, status) === Finish.REMOVE) {
    const { id, req } = transaction;
    debug('%s %s: %d was not sent, key removed: %s', req.method, id, status, err.message ?? err);
    transaction.removeKey();
  }
  transaction.release();
}

// Delays the ACK until the session is saved.
function wrapAck(transaction) {
  const { mks, res } = transaction;
  const { ack } = res;
  if (typeof ack !== 'function') return transaction.end();
  // an INVITE that was challenged has lost its key meanwhile
  if (transaction.plan & Plan.FORMS_DIALOG && !mks.removed) mks.set(transaction.id);
  res.ack = (...args) => {
    res.ack = ack;
    let inSameTurn = true;
    let result;
    mks.write(rules.saveModeOf(rules.finish(transaction.plan, transaction.facts, statusOf(res))), (err) => {
      transaction.end(err);
      try {
        result = ack.apply(res, args);
      } catch (thrown) {
        if (inSameTurn) throw thrown;
        reportRefused(transaction, 'ACK', thrown);
      }
    });
    inSameTurn = false;
    return result;
  };
  return undefined;
}

module.exports = { wrapAck, wrapSend };
