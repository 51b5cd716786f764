'use strict';
// Host: the framework that calls the middleware, with what the hosts do differently. These are the methods of a host that
// does nothing special.

const { factsOf, idOf } = require('./request');

class Host {
  // The key under which a request finds its session.
  keyOf(req) {
    return idOf(req);
  }

  factsOf(req) {
    return factsOf(req);
  }

  // A request waits for the final response that decides whether a dialog begins.
  awaitFinal(_transaction) {}

  // Calls `action` when the handlers of a request that gets no response have run.
  afterHandlers(action) {
    action();
  }

  // Makes a response say that it has its final response as soon as the application gave one, though it is delayed.
  markResponded(_res, _hasResponded) {}

  // Whether res.send accepts a status code; it must refuse the others itself.
  accepts(_res, _status) {
    return true;
  }

  // A final response is delayed until the session is saved. May give a function, to be called before it is sent.
  delay(_res, _status) {}

  // The arguments of res.send, changed so that the host calls done(err) when the response was sent or refused; undefined if
  // the host can't tell.
  confirmSend(_args, _done) {}

  // A second final response is not sent.
  refuse(_args) {}
}

module.exports = Host;
