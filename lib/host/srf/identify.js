'use strict';
// Says which dialog a message is of. What the host knows decides first: the Dialog of `stackDialogId`, and its leg. Then come
// the live sessions, by Call-ID and tags, and last the store.

const { Facts } = require('../../native/constants');
const { findLiveDialog } = require('../../session/find');
const { FORMING, hasToTag, originOf } = require('../request');
const { Leg } = require('./leg');
const { tagOf } = require('./message');
const { idOfNew, legOf } = require('./names');

// The Dialog of a request says which dialog it is of. Without one: a new dialog, if the request may form one; the live
// session of a dialog with these tags; or the store.
function identify(host, transaction) {
  const { engine, req } = transaction;
  const { method } = req;
  let facts = originOf(req);
  const dialog = req.stackDialogId ? host.srf.findDialogById(req.stackDialogId) : undefined;
  const leg = dialog && Leg.of(dialog);
  if (leg?.id !== undefined) {
    transaction.leg = leg;
    transaction.id = leg.id;
    transaction.live = leg.mks;
    return facts | Facts.TO_TAG | unsubscribes(host, req, dialog);
  }
  const callId = callIdOf(host, req);
  if (callId === undefined) return 0;
  const toHeader = host.header(req, 'to');
  const to = tagOf(toHeader);
  const isInDialog = typeof toHeader === 'string' ? to !== undefined : hasToTag(req);
  if (!isInDialog) return facts | identifyOutside(host, transaction, callId);
  facts |= Facts.TO_TAG | unsubscribes(host, req);
  const tags = tagsOf(host, req, Boolean(facts & Facts.MADE_BY_SERVER));
  const found = findLiveDialog(engine, tags);
  transaction.id = found?.id ?? callId;
  transaction.live = found?.mks;
  if (!found) transaction.tags = tags;
  if (method === 'CANCEL' && found && found.mks.pending?.id === found.id) facts |= Facts.PENDING;
  return facts;
}

// The Call-ID and the tags of a request. `isOwn`: From is the application's side, as in a request that it has sent, or that
// drachtio-server has made for it.
function tagsOf(host, req, isOwn = false) {
  const from = tagOf(host.header(req, 'from'));
  const to = tagOf(host.header(req, 'to'));
  return { callId: callIdOf(host, req), remote: isOwn ? to : from, local: isOwn ? from : to };
}

// A request without To tag.
function identifyOutside(host, transaction, callId) {
  const { engine, req } = transaction;
  const { method } = req;
  if (!FORMING.has(method)) {
    transaction.id = callId;
    transaction.live = engine.sessions.get(callId);
    return method === 'CANCEL' && transaction.live?.pending?.id === callId ? Facts.PENDING : 0;
  }
  let facts = 0;
  if (method === 'SUBSCRIBE' && expiresNow(host, req)) facts |= Facts.FETCHES;
  const tags = { callId, remote: tagOf(host.header(req, 'from')), local: undefined };
  const isAuthorized = host.header(req, 'authorization') || host.header(req, 'proxy-authorization');
  transaction.id = idOfNew(engine, tags, req, host.header);
  transaction.descriptor = legOf('<', method, tags.remote);
  if (!isAuthorized) return facts;
  // it may answer a challenge, also with another From tag
  transaction.tags = { ...tags, isRetry: true };
  return facts | Facts.AUTHORIZED;
}

// The Call-ID of a message, undefined if it has none.
function callIdOf(host, req) {
  const id = req.sessionID ?? host.header(req, 'call-id') ?? req.id;
  return typeof id === 'string' && id !== '' ? id.toWellFormed() : undefined;
}

const expiresNow = (host, req) => Number(host.header(req, 'expires') || NaN) === 0;

// Facts.UNSUBSCRIBES if a request may end the subscription that formed its dialog
function unsubscribes(host, req, dialog) {
  const { method } = req;
  if (method !== 'SUBSCRIBE' && method !== 'NOTIFY') return 0;
  const last =
    method === 'SUBSCRIBE'
      ? expiresNow(host, req)
      : /^\s*terminated\b/i.test(host.header(req, 'subscription-state') ?? '');
  if (!last || (dialog && dialog.getCountOfSubscriptions() > 1)) return 0;
  return Facts.UNSUBSCRIBES;
}

module.exports = { callIdOf, identify, tagsOf };
