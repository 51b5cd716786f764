'use strict';
// Lets the legs of a B2BUA share a session: app.siprequest(uri, {session: req.session}, cb) on classic drachtio.
//
// The host's class of outgoing requests is patched, once: an INVITE that carries a session is sent without making a
// new one, and its Call-ID becomes one more key when the host says that it was sent (its hook `prepareRequest`).

const debug = require('debug')('drachtio:session');
const { Session } = require('./session');

const patched = new WeakSet();

function requestClass(app) {
  if (app && app.SipRequest) return app.SipRequest;
  try {
    return require('drachtio').Request;
  } catch {
    return undefined; // drachtio-srf sends by other means
  }
}

// Patches the host of `app`, if it is a classic one.
function shareOnSend(app) {
  const proto = requestClass(app)?.prototype;
  if (!proto || typeof proto.send !== 'function' || patched.has(proto)) return;
  patched.add(proto);

  const { send } = proto;
  proto.send = function (...args) {
    const mks = this.method === 'INVITE' && this.session instanceof Session.SessionProto ? this.session.mks : null;
    if (mks) {
      debug('INVITE goes out with session %s', mks.uuid);
      delete this.session;
      Object.defineProperty(this, 'mks', { value: mks, configurable: true, enumerable: false });
      hookPrepare(this.dispatchRequest);
    }
    return send.apply(this, args);
  };
}

function hookPrepare(dispatchRequest) {
  if (typeof dispatchRequest !== 'function' || patched.has(dispatchRequest)) return;
  patched.add(dispatchRequest);
  const { prepareRequest } = dispatchRequest;
  dispatchRequest.prepareRequest = function (uacRequest, req, ...rest) {
    if (uacRequest.mks) adopt(uacRequest.mks, req);
    return prepareRequest?.call(this, uacRequest, req, ...rest);
  };
}

function adopt(mks, req) {
  const { idOf } = require('./host');
  const id = idOf(req);
  delete req.session;
  try {
    if (id) mks.set(id);
  } catch (err) {
    // the session has ended meanwhile: the INVITE goes out all the same
    mks.engine.report(err);
  }
  mks.attachTo(req);
  debug('%s is one more key of %s', id, mks.uuid);
}

module.exports = { shareOnSend };
