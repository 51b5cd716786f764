'use strict';
// The constants that both languages know. Rust defines them (src/binding/constants.rs); JavaScript only names them.

const { OwnCode } = require('../errors');
const native = require('./index');

const { errorCode, event, facts, finish, keyPrefix, maxTimeout, maxTtl, plan, refusal, retryAfter, saveMode } =
  native.constants();

module.exports = {
  ErrorCode: Object.freeze({ ...errorCode, ...OwnCode }),
  Event: Object.freeze(event),
  Facts: Object.freeze(facts),
  Finish: Object.freeze(finish),
  KEY_PREFIX: keyPrefix,
  MAX_TIMEOUT: maxTimeout, // ms
  MAX_TTL: maxTtl, // seconds
  Plan: Object.freeze(plan),
  RETRY_AFTER: retryAfter, // seconds
  Refusal: Object.freeze(refusal),
  SaveMode: Object.freeze(saveMode)
};
