'use strict';
// What becomes of a message when the store has failed: `onStoreFailure` of session(options), within what the rules allow.

const debug = require('debug')('drachtio:session');
const { SessionError } = require('../errors');
const { ErrorCode, RETRY_AFTER, Refusal } = require('../native/constants');
const rules = require('../native/rules');

const unavailable = (message) => new SessionError(ErrorCode.STORE_UNAVAILABLE, message);

// Answers a message 503, if the application wants that and the rules allow it; gives whether it did.
function rejects(transaction, err) {
  const { id, req, res } = transaction;
  if (decision(transaction, err) !== 'reject') return false;
  debug('%s %s: rejected, %s', req.method, id, err.message);
  res.send(503, 'Service Unavailable', { headers: { 'Retry-After': String(RETRY_AFTER) } });
  return true;
}

function decision({ engine, onStoreFailure, plan, req }, err) {
  const refusal = rules.mayReject(req.method, plan);
  if (typeof onStoreFailure !== 'function') return refusal === Refusal.BY_POLICY ? onStoreFailure : 'continue';
  if (refusal === Refusal.NEVER) return 'continue';
  try {
    return onStoreFailure(req, err);
  } catch (thrown) {
    engine.report(thrown);
    return 'continue';
  }
}

module.exports = { rejects, unavailable };
