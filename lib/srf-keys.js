'use strict';
// Under which key a dialog of drachtio-srf finds its session: its Call-ID; and if another dialog with that Call-ID lives
// in this process (a B2BUA before us that keeps Call-IDs, a call that comes back), its Call-ID and the tag of the side
// that began it, which is the half of the dialog's id (RFC 3261, 12) that is known when its first request is.

const { hasToTag, header, idOf } = require('./host');

// The methods of requests that form a dialog.
const FORMING = new Set(['INVITE', 'SUBSCRIBE']);

const fromRemote = (callId, tag) => `${callId};remote-tag=${tag}`;
const fromLocal = (callId, tag) => `${callId};local-tag=${tag}`;

// The tag of From or To: a parameter of the header, not of the URI.
function tagOf(req, name) {
  const value = header(req, name);
  const [, tag] = /;\s*tag\s*=\s*([^;,\s]+)[^<>]*$/i.exec(value ?? '') ?? [];
  return tag;
}

// The key for a request that begins a dialog. One that even the tag doesn't tell apart (a request merged by a proxy,
// RFC 3261, 8.2.2.2) has its branch for it: nothing of it is mixed with the other, and its dialog has no other name.
function keyOfNew(engine, req, withTag) {
  const callId = idOf(req);
  if (!callId || !engine.find(`mks:${callId}`)) return callId;
  const id = withTag(callId, tagOf(req, 'from'));
  if (!engine.find(`mks:${id}`)) return id;
  const [, branch] = /;\s*branch\s*=\s*([^;,\s]+)/i.exec(header(req, 'via') ?? '') ?? [];
  return `${id};branch=${branch}`;
}

// The key for a request that came in.
function keyOfReceived(engine, req) {
  const callId = idOf(req);
  if (!callId) return undefined;
  if (!hasToTag(req)) return FORMING.has(req.method) ? keyOfNew(engine, req, fromRemote) : callId;
  return keyInDialog(engine, callId, tagOf(req, 'from'), tagOf(req, 'to'));
}

// The key of the dialog that has these tags.
function keyInDialog(engine, callId, remote, local) {
  const ids = [fromRemote(callId, remote), fromLocal(callId, local)];
  return ids.find((id) => engine.find(`mks:${id}`)) ?? callId;
}

// The key for a request that the application has sent and that begins a dialog.
const keyOfSent = (engine, req) => keyOfNew(engine, req, fromLocal);

// The key of the dialog that the application has sent a request in.
const keyOfSentInDialog = (engine, req) => keyInDialog(engine, idOf(req), tagOf(req, 'to'), tagOf(req, 'from'));

module.exports = { FORMING, fromLocal, fromRemote, keyOfReceived, keyOfSent, keyOfSentInDialog, tagOf };
