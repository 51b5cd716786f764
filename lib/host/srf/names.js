'use strict';
// The names of a dialog: the ids that its key may have (src/session/leg.rs), and the leg descriptor, which is stored with
// the key and says whose tag that dialog has.

const { randomUUID } = require('node:crypto');
const native = require('../../native');
const { branchOf } = require('./message');

// The leg descriptor of a request that begins a dialog: `side` is '<' if it was received, '>' if the application sends it.
// Undefined if it has no From tag.
function legOf(side, method, tag) {
  if (!tag) return undefined;
  return method === 'SUBSCRIBE' ? `${side}${tag} s` : side + tag;
}

// The id of the key of a new dialog: its Call-ID; where another dialog of this process has that, with the tag of the side
// that began it; where that is in use too, as when a proxy forks to this application (RFC 3261, 8.2.2.2), with the branch.
// The tags: `callId`, and `remote` or `local`. `header` reads a header of the message.
function idOfNew({ sessions }, { callId, remote, local }, message, header) {
  if (!sessions.find(callId)) return callId;
  const ids = native.dialogIds(callId, remote, local);
  const id = ids.find((one) => !sessions.find(one));
  return id ?? `${ids.at(-1)};branch=${branchOf(header(message, 'via')) ?? randomUUID()}`;
}

// The id for a request with this id that is answered by a 2xx: the dialog is then looked up by its tags, without the branch.
// Of several forks those that have no answer yet make room.
function idOfAnswered({ sessions }, id) {
  const at = id.lastIndexOf(';branch=');
  if (at < 0) return id;
  const qualified = id.slice(0, at);
  const owner = sessions.find(qualified);
  return owner && owner.pending?.id !== qualified ? id : qualified;
}

// The pending transaction of a received request, among those with one Call-ID, that has this branch.
function findPending({ sessions }, { callId, remote, branch }, header) {
  const ids = native.dialogIds(callId, remote, undefined);
  ids.push(`${ids.at(-1)};branch=${branch}`);
  const pending = ids.map((id) => sessions.find(id)?.pending);
  return pending.find((transaction) => transaction && branchOf(header(transaction.req, 'via')) === branch);
}

module.exports = { findPending, idOfAnswered, idOfNew, legOf };
