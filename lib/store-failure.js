'use strict';
// What becomes of a message when the store has failed: `onStoreFailure` of session(options), within what the rules allow.

const debug = require('debug')('drachtio:session');
const native = require('./native');
const SessionError = require('./errors');
const { Refusal } = require('./rules');

const RETRY_AFTER = 5; // seconds

const unavailable = (message) => new SessionError('ERR_SESSION_STORE_UNAVAILABLE', message);

// Answers a message 503 if that is wanted and may be; gives whether it did.
function rejects(message, err) {
  const { id, req, res } = message;
  if (wanted(message, err) !== 'reject') return false;
  debug('%s %s: rejected, %s', req.method, id, err.message);
  res.send(503, 'Service Unavailable', { headers: { 'Retry-After': String(RETRY_AFTER) } });
  return true;
}

function wanted({ engine, onStoreFailure, plan, req }, err) {
  const may = native.mayReject(req.method, plan);
  if (typeof onStoreFailure !== 'function') return may === Refusal.BY_POLICY ? onStoreFailure : 'continue';
  if (may === Refusal.NEVER) return 'continue';
  try {
    return onStoreFailure(req, err);
  } catch (thrown) {
    engine.report(thrown);
    return 'continue';
  }
}

module.exports = { rejects, unavailable };
