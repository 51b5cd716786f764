'use strict';
// The key of a dialog of drachtio-srf: its Call-ID. If another dialog with that Call-ID lives in this process (an upstream
// B2BUA that keeps Call-IDs, a call that comes back): its Call-ID and the tag of the side that began it, the half of the
// dialog's id (RFC 3261, 12) that is known from its first request.

const { hasToTag, header, idOf, parametersOf } = require('../request');

// The methods of requests that form a dialog.
const FORMING = new Set(['INVITE', 'SUBSCRIBE']);

const fromRemote = (callId, tag) => `${callId};remote-tag=${tag}`;
const fromLocal = (callId, tag) => `${callId};local-tag=${tag}`;

// The tag of From or To.
function tagOf(req, name) {
  const [, tag] = /;\s*tag\s*=\s*([^;,\s]+)/i.exec(parametersOf(header(req, name) ?? '')) ?? [];
  return tag;
}

// by session and key, the half of the dialog's id
const halves = new WeakMap();

// A dialog begins under a key; `half` is one of the two above.
function claim(mks, id, half) {
  if (!halves.has(mks)) halves.set(mks, new Map());
  const claimed = halves.get(mks);
  // forgets dialogs that have ended: a session may have many, one after the other
  if (claimed.size > 2 * mks.keyCount) {
    for (const each of claimed.keys()) if (!mks.has(each)) claimed.delete(each);
  }
  claimed.set(id, half);
}

// The key for a request that begins a dialog. If another dialog has the same tag too (a request merged by a proxy,
// RFC 3261, 8.2.2.2), the key has the branch as well: it must not lead to the session of the other.
function keyOfNew(engine, req, halfOf) {
  const callId = idOf(req);
  const live = callId && engine.sessions.find(callId);
  if (!live) return callId;
  const half = halfOf(callId, tagOf(req, 'from'));
  if (halves.get(live)?.get(callId) !== half && !engine.sessions.find(half)) return half;
  const [, branch] = /;\s*branch\s*=\s*([^;,\s]+)/i.exec(header(req, 'via') ?? '') ?? [];
  return `${half};branch=${branch}`;
}

// The key for a received request.
function keyOfReceived(engine, req) {
  const callId = idOf(req);
  if (!callId) return undefined;
  if (!hasToTag(req)) return FORMING.has(req.method) ? keyOfNew(engine, req, fromRemote) : callId;
  return keyInDialog(engine, callId, tagOf(req, 'from'), tagOf(req, 'to'));
}

// The key of the dialog that has these tags.
function keyInDialog(engine, callId, remote, local) {
  const ids = [fromRemote(callId, remote), fromLocal(callId, local)];
  return ids.find((id) => engine.sessions.find(id)) ?? callId;
}

// The key for a request that the application has sent and that begins a dialog.
const keyOfSent = (engine, req) => keyOfNew(engine, req, fromLocal);

// The key of the dialog that the application has sent a request in.
const keyOfSentInDialog = (engine, req) => keyInDialog(engine, idOf(req), tagOf(req, 'to'), tagOf(req, 'from'));

const claimReceived = ({ mks, id, req }) => claim(mks, id, fromRemote(id, tagOf(req, 'from')));
const claimSent = ({ mks, id, req }) => claim(mks, id, fromLocal(id, tagOf(req, 'from')));

module.exports = {
  claimReceived,
  claimSent,
  FORMING,
  fromLocal,
  fromRemote,
  keyInDialog,
  keyOfReceived,
  keyOfSent,
  keyOfSentInDialog,
  tagOf
};
