'use strict';
// Wraps res.send and res.ack of a transaction: the final response, or the ACK, is sent after the session is saved, whether
// that succeeds or not.

const debug = require('debug')('drachtio:session');
const { statusOf } = require('../host/request');
const { SessionError } = require('../errors');
const { ErrorCode, Event, Finish, Plan } = require('../native/constants');
const rules = require('../native/rules');

// Delays the final response until the session is saved, and sends it once.
function wrapSend(transaction) {
  const { host, id, req, res } = transaction;
  const { send } = res;
  host.markResponded(res, () => transaction.responded);
  res.send = (...args) => {
    const [status] = args;
    const valid = Number.isInteger(status) && status >= 100 && status < 700 && host.accepts(res, status);
    if (!valid || (status < 200 && !transaction.responded)) return send.apply(res, args);
    if (transaction.responded) {
      debug('%s %s: there was a final response before, %d is not sent', req.method, id, status);
      return host.refuse(args);
    }
    transaction.responded = true;
    const finish = transaction.finishFor(status);
    const confirmed =
      finish === Finish.SAVE_DIALOG ? host.confirmSend(args, (err) => sent(transaction, status, err)) : undefined;
    const beforeSend = host.delay(res, status);
    const method = beforeSend ? callFirst(beforeSend, send) : send;
    return callAfter(transaction, method, confirmed || args, (done) =>
      store(transaction, status, finish, Boolean(confirmed), done)
    );
  };
}

// A method that calls something else first.
const callFirst = (first, method) =>
  function calledFirst(...args) {
    first();
    return method.apply(this, args);
  };

// Delays the ACK until the session is saved.
function wrapAck(transaction) {
  const { mks, res } = transaction;
  const { ack } = res;
  if (typeof ack !== 'function') return transaction.end();
  // an INVITE that was challenged has lost its key meanwhile
  if (transaction.plan & Plan.FORMS_DIALOG && !mks.removed) mks.set(transaction.id);
  res.ack = (...args) => {
    res.ack = ack;
    return callAfter(transaction, ack, args, (done) => {
      mks.write(rules.saveModeOf(rules.finish(transaction.plan, transaction.facts, statusOf(res))), (err) => {
        transaction.end(err);
        done();
      });
    });
  };
  return undefined;
}

// Calls a method of the response once, after `before(done)`: in the same turn if that is done at once.
function callAfter(transaction, method, args, before) {
  let inSameTurn = true;
  let called = false;
  let result;
  before(() => {
    if (called) return;
    called = true;
    try {
      result = method.apply(transaction.res, args);
    } catch (err) {
      // nothing was sent: the application may try again
      transaction.responded = false;
      if (inSameTurn) throw err;
      // the handler has returned; its callback, if any, gets the error
      const callback = args.find((arg) => typeof arg === 'function');
      if (callback) return callback(err);
      const message = `${transaction.req.method} ${transaction.id}: the host refused a delayed response: ${err.message}`;
      transaction.engine.report(new SessionError(ErrorCode.RESPONSE, message, err));
    }
  });
  inSameTurn = false;
  return result;
}

// Saves the session, or removes the key, before the final response. `isConfirmed`: the host calls sent() afterwards.
function store(transaction, status, finish, isConfirmed, done) {
  const { id, mks, plan, req } = transaction;
  if (debug.enabled) {
    debug('%s %s: %d, %s', req.method, id, status, finish === Finish.REMOVE ? 'key removed' : 'saved');
  }
  const stored = (err) => {
    const decided = plan & (Plan.FORMS_DIALOG | Plan.ENDS_DIALOG);
    if (decided && mks.pending === id) mks.pending = undefined;
    // canceled while the session was saved
    if (finish !== Finish.REMOVE && transaction.finishFor(status) === Finish.REMOVE) transaction.removeKey();
    if (isConfirmed) transaction.engine.report(err);
    else transaction.end(err);
    done();
  };
  // The 200 to a BYE is sent once the removal is written to the store, without waiting for the reply.
  if (finish === Finish.REMOVE) mks.removeKey(id, stored, plan & Plan.ENDS_DIALOG ? done : undefined);
  else mks.write(rules.saveModeOf(finish), stored);
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

module.exports = { wrapAck, wrapSend };
