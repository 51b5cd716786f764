'use strict';
// Reads requests and responses of either host: classic drachtio and drachtio-srf have different properties for the same.

const { SessionError } = require('../errors');
const { ErrorCode, Facts } = require('../native/constants');

const header = (req, name) => (typeof req.get === 'function' ? req.get(name) : undefined);

// The Call-ID of the dialog, which is its key.
function idOf(req) {
  const id = req.sessionID ?? req.id ?? header(req, 'call-id');
  return typeof id === 'string' && id !== '' ? id.toWellFormed() : undefined;
}

// The parameters of a From or To header: what follows the URI, which has parameters of its own. A display name may contain
// any character.
function parametersOf(value) {
  const plain = value.includes('"') ? value.replace(/"(?:[^"\\]|\\.)*"/g, '') : value;
  return plain.slice(plain.indexOf('>') + 1);
}

// The methods of requests that form a dialog.
const FORMING = new Set(['INVITE', 'SUBSCRIBE']);

// Whether a request without a To header begins a dialog. Only mocks have none: what they say of themselves decides, then
// their method.
function formsDialog(req) {
  const forms = FORMING.has(req.method) && !req.stackDialogId;
  try {
    const isNew = typeof req.isNewInvite === 'function' ? req.isNewInvite() : req.isNewInvite;
    if (isNew || req.canFormDialog) return true;
    return isNew === undefined && req.canFormDialog === undefined && forms;
  } catch {
    // the getters of drachtio-srf read the To header
    return forms;
  }
}

// Whether the request belongs to a dialog (RFC 3261, 12.2). The To tag decides: what the hosts say of it is not reliable.
function hasToTag(req) {
  const to = header(req, 'to');
  if (typeof to === 'string') {
    // as nearly every host and peer writes it
    if (!to.includes('"') && to.includes(';tag=', to.indexOf('>'))) return true;
    return /;\s*tag\s*=/i.test(parametersOf(to));
  }
  return !formsDialog(req);
}

// What is missing from a request, as an error; undefined if it has all that a session needs.
function incomplete(req, id) {
  if (typeof req.method !== 'string' || req.method === '') {
    return new SessionError(
      ErrorCode.ARGUMENT,
      "the request has no `method`: set it to a SIP method, such as 'INVITE'"
    );
  }
  if (id) return undefined;
  const message = `the ${req.method} has no Call-ID: req.get('call-id'), req.id or req.sessionID must give it`;
  return new SessionError(ErrorCode.ARGUMENT, message);
}

const isCanceled = (req) => req.canceled === true;

// The facts that no header tells: where a message comes from, and whether it was canceled.
function originOf(req) {
  // a request that drachtio-server made, such as the BYE after a missing ACK
  const made = req.stackTxnId === 'unsolicited';
  if (req.source === 'application' && !made) return 0;
  return Facts.NETWORK | (made ? Facts.MADE_BY_SERVER : 0) | (isCanceled(req) ? Facts.CANCELED : 0);
}

// The facts of a message, except those that the host does not know: PENDING, ATTACHED, SHARED.
function factsOf(req) {
  const origin = originOf(req);
  if (hasToTag(req)) return origin | Facts.TO_TAG;
  const isAuthorized = header(req, 'authorization') || header(req, 'proxy-authorization');
  return isAuthorized ? origin | Facts.AUTHORIZED : origin;
}

// The status of a received response, 0 if there is none.
const statusOf = (res) => Number(res?.statusCode ?? res?.status) || 0;

module.exports = { FORMING, factsOf, hasToTag, header, idOf, incomplete, isCanceled, originOf, parametersOf, statusOf };
