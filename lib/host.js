'use strict';
// Reads what a message is, of either host: classic drachtio and drachtio-srf spell it differently. What else they differ
// in is asked of a Host: this one is classic drachtio, that of drachtio-srf is in srf.js.

const { Facts } = require('./rules');

const header = (req, name) => (typeof req.get === 'function' ? req.get(name) : undefined);

// The key of the dialog: its Call-ID.
function idOf(req) {
  const id = req.sessionID ?? req.id ?? header(req, 'call-id');
  return typeof id === 'string' && id !== '' ? id.toWellFormed() : undefined;
}

// The parameters of a From or To header: what comes after the URI, which has parameters of its own. A display name may have
// anything in it.
function parametersOf(value) {
  const plain = value.includes('"') ? value.replace(/"(?:[^"\\]|\\.)*"/g, '') : value;
  return plain.slice(plain.indexOf('>') + 1);
}

// Whether the request belongs to a dialog (RFC 3261, 12.2): by the To tag, which no host tells reliably.
function hasToTag(req) {
  const to = header(req, 'to');
  if (typeof to === 'string') return /;\s*tag\s*=/i.test(parametersOf(to));
  const isNew = typeof req.isNewInvite === 'function' ? req.isNewInvite() : req.isNewInvite;
  return !(isNew || req.canFormDialog);
}

const isCanceled = (req) => req.canceled === true;

// The facts of a message but PENDING, which is ours to know.
function factsOf(req) {
  // a request that drachtio-server made, such as the BYE after a missing ACK
  const made = req.stackTxnId === 'unsolicited';
  let facts = req.source === 'application' && !made ? 0 : Facts.NETWORK;
  if (made) facts |= Facts.MADE_BY_SERVER;
  if (hasToTag(req)) facts |= Facts.TO_TAG;
  else if (header(req, 'authorization') || header(req, 'proxy-authorization')) facts |= Facts.AUTHORIZED;
  if (facts & Facts.NETWORK && isCanceled(req)) facts |= Facts.CANCELED;
  return facts;
}

// The status of a received response.
const statusOf = (res) => Number(res?.statusCode ?? res?.status) || 0;

class Host {
  // A request waits for the final response that decides whether a dialog begins.
  pending(_message) {}

  // the key under which a request finds its session
  keyOf(req) {
    return idOf(req);
  }

  factsOf(req) {
    return factsOf(req);
  }

  // Runs when the handlers of a request have returned that no response will follow.
  afterHandlers(action) {
    action();
  }

  // Makes a response tell that its final response was given as soon as it was, though it has not left yet.
  answering(_res, _isGiven) {}

  // Whether res.send takes a status code; one that it does not take it shall refuse by itself.
  takes(_res, _status) {
    return true;
  }

  // A final response may have to wait: gives what is to be called before it leaves.
  waits(_res, _status) {}

  // The arguments of res.send, made to tell done(err) what became of the response; nothing where a host does not know.
  confirmed(_args, _done) {}

  // A second final response will not be sent.
  refuse(_args) {}
}

module.exports = { Host, hasToTag, header, idOf, isCanceled, parametersOf, statusOf, factsOf };
