'use strict';
// Classic drachtio as a host. The legs of a B2BUA can share a session: app.siprequest(uri, {session: req.session}, cb).
//
// shareOnSend() patches the host's class of outgoing requests, once. The host sends all of its options to its server, as
// JSON, so it gets them without the session. The Call-ID of an INVITE becomes one more key of the session when the host
// has sent it (its hook `prepareRequest`).

const debug = require('debug')('drachtio:session');
const Host = require('./host');
const { idOf } = require('./request');
const { sessionIn, without } = require('./session-option');

const patched = new WeakSet();

function requestClass(app) {
  if (app && app.SipRequest) return app.SipRequest;
  try {
    return require('drachtio').Request;
  } catch {
    return undefined; // not installed: the application uses drachtio-srf
  }
}

// Patches the host of `app`, if it is a classic one.
function shareOnSend(app) {
  const proto = requestClass(app)?.prototype;
  if (!proto || typeof proto.send !== 'function' || patched.has(proto)) return;
  patched.add(proto);

  const { send } = proto;
  proto.send = function (options, ...args) {
    const given = options !== null && typeof options === 'object' ? options : {};
    // the host may copy its options to the request, and may have removed them from what it passes on
    const mks = sessionIn(this) ?? sessionIn(given);
    delete this.session;
    if (mks && this.method === 'INVITE') {
      debug('INVITE is sent with session %s', mks.uuid);
      Object.defineProperty(this, 'mks', { value: mks, configurable: true, enumerable: false });
      hookPrepare(this.dispatchRequest);
    }
    return send.call(this, given === options ? without(options) : options, ...args);
  };
}

function hookPrepare(dispatchRequest) {
  if (typeof dispatchRequest !== 'function' || patched.has(dispatchRequest)) return;
  patched.add(dispatchRequest);
  const { prepareRequest } = dispatchRequest;
  dispatchRequest.prepareRequest = function (uacRequest, req, ...rest) {
    if (uacRequest.mks) addLeg(uacRequest.mks, req);
    return prepareRequest?.call(this, uacRequest, req, ...rest);
  };
}

// The request of an outgoing leg was sent: its Call-ID becomes a key of the session.
function addLeg(mks, req) {
  const id = idOf(req);
  delete req.session;
  try {
    if (id) mks.set(id);
  } catch (err) {
    // the session has ended meanwhile: the INVITE is sent all the same
    mks.engine.report(err);
  }
  mks.attachTo(req);
  debug('%s is one more key of %s', id, mks.uuid);
}

module.exports = { classicHost: new Host(), shareOnSend };
