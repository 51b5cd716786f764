'use strict';
// The middleware of the classic module: it stores a new session before the handler runs, loads an existing one, saves changes
// before the final response is sent, and removes the key at a BYE.

const ClassicSession = require('./session');

const SESSION = {
  get() {
    return this.mks.session;
  },
  set(content) {
    this.mks.session = content;
  },
  configurable: true
};

function attach(req, mks) {
  Object.defineProperty(req, 'mks', { value: mks, configurable: true, writable: true });
  Object.defineProperty(req, 'session', SESSION);
}

function beforeSend(res, first) {
  const { send } = res;
  res.send = (...args) => {
    if (args[0] < 200) return send.apply(res, args);
    first((err) => {
      if (err) throw err;
      send.apply(res, args);
    });
  };
}

// an outgoing INVITE with a session adds a key to it
function shareOnSend(host) {
  const { prototype } = host.SipRequest;
  const { send } = prototype;
  prototype.send = function (...args) {
    const { session } = this;
    if (this.method === 'INVITE' && session) {
      delete this.session;
      this.mks = session.mks;
    }
    return send.apply(this, args);
  };
  const { dispatchRequest } = prototype;
  const { prepareRequest } = dispatchRequest;
  dispatchRequest.prepareRequest = (uacRequest, req) => {
    if (uacRequest.mks) {
      const { mks } = uacRequest;
      mks.set(req.id);
      attach(req, mks);
    }
    return prepareRequest(uacRequest, req);
  };
}

// A save that the checksum has suppressed leaves leg B without its key. The handler then gets an empty session, so that the
// driver counts the call as lost and the run goes on.
const emptySession = (store) => new ClassicSession(store);

function received(store, req, res, next) {
  if (req.method === 'BYE') {
    return ClassicSession.load(store, req.id, (err, mks) => (err || !mks ? next(err) : mks.del(req.id, next)));
  }
  const { ack } = res;
  res.ack = (...args) => {
    req.mks.save((err) => {
      if (err) throw err;
      ack.apply(res, args);
    });
  };
  next();
}

function middleware(store, host) {
  shareOnSend(host);
  return (req, res, next) => {
    if (req.source === 'application') return received(store, req, res, next);
    if (req.isNewInvite()) {
      const mks = new ClassicSession(store);
      mks.set(req.id);
      attach(req, mks);
      beforeSend(res, (leave) => mks.save(leave));
      return mks.save(next);
    }
    ClassicSession.load(store, req.id, (err, found) => {
      if (err) return next(err);
      const mks = found ?? emptySession(store);
      attach(req, mks);
      const save = (leave) => mks.save((failed) => (failed ? leave(failed) : mks.del(req.id, leave)));
      if (req.method === 'BYE') beforeSend(res, save);
      else if (req.method !== 'ACK') beforeSend(res, (leave) => mks.save(leave));
      next();
    });
  };
}

module.exports = middleware;
