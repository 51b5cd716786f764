'use strict';
// Host: the framework that calls the middleware, with what the hosts do differently. These are the methods of a host that
// does nothing special.

const { factsOf, idOf } = require('./request');
const { Facts } = require('../native/constants');

class Host {
  // Says what the message of a transaction is of: sets its `id`, `leg`, `tags` and `live`, and gives the facts.
  identify(transaction) {
    const { engine, req } = transaction;
    const id = idOf(req);
    if (id === undefined) return 0;
    transaction.id = id;
    transaction.live = engine.sessions.get(id);
    const facts = factsOf(req);
    return transaction.live?.pending?.id === id ? facts | Facts.PENDING : facts;
  }

  // The transaction that a CANCEL cancels, which the host has told as an event of `transaction`; undefined if there is none.
  canceledBy(_message, transaction) {
    return transaction;
  }

  // A request waits for the final response that decides whether a dialog begins.
  awaitFinal(_transaction) {}

  // A request waits for its session: gives what is called then in place of `next`.
  resumption(_transaction, next) {
    return next;
  }

  // A 2xx begins the dialog of a transaction; its session is saved next.
  accepted(_transaction) {}

  // The host may proxy the request of a transaction instead of answering it.
  mayProxy(_transaction) {}

  // Gives a session the key of a request that begins a dialog.
  addKey(mks, { facts, id }) {
    if (!mks.has(id)) mks.set(id);
    else if (facts & Facts.AUTHORIZED) mks.retried(id);
  }

  // The handlers of a request that gets no response have been called: finishes the transaction when they have run.
  afterHandlers(transaction) {
    transaction.afterTurn();
  }

  // Whether res.send accepts a status code; it must refuse the others itself.
  accepts(_res, _status) {
    return true;
  }

  // The application has given a final response, which waits until the session is saved: hold() comes first, then delay() if
  // it was not saved in the same turn, and unhold() just before the response is sent.
  hold(_res, _status) {}
  delay(_res) {}
  unhold(_res, _wasDelayed) {}

  // The arguments of res.send, changed so that the host calls done(err) when the response was sent or refused; undefined if
  // the host can't tell.
  confirmSend(_args, _done) {}

  // A second final response is not sent.
  refuse(_args) {}
}

module.exports = Host;
