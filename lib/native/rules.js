'use strict';
// Asks the rules (src/rules.rs). They are pure, so their answers are cached.

const native = require('./index');
const { Finish, SaveMode } = require('./constants');

const MAX_WORDS = 64; // methods that the cache keeps answers for; the method of a request may be any word
const STATUSES = 1024; // greater than any status code

// Caches the answers of a rule for one status code, by a method or number and by the facts.
function cached(rule) {
  let answers = new Map();
  return (first, facts) => {
    let ofFirst = answers.get(first);
    if (ofFirst === undefined) {
      if (typeof first === 'string' && answers.size === MAX_WORDS) answers = new Map();
      answers.set(first, (ofFirst = []));
    }
    return (ofFirst[facts] ??= rule(first, facts));
  };
}

// A rule whose answers are cached by the status code first.
function cachedByStatus(rule) {
  const rules = [];
  return (first, facts, status) => {
    if (!(status >= 0 && status < STATUSES)) return rule(first, facts, status);
    const ofStatus = (rules[status] ??= cached((one, bits) => rule(one, bits, status)));
    return ofStatus(first, facts);
  };
}

// What a message means for its session: bits of Plan. `status` is 0 for a request.
const plan = cachedByStatus(native.plan);

// What a final response means for the session of a request that had `plan`: a number of Finish.
const finish = cachedByStatus(native.finish);

// What an event means for the session of a dialog: a number of Finish. `status` is 0 without a final response.
const onEvent = cachedByStatus(native.onEvent);

// Whether a message may be answered 503 when the store has failed: a number of Refusal.
const mayReject = (method, planned) => native.mayReject(method, planned);

const SAVE_MODES = [];
SAVE_MODES[Finish.SAVE_CHANGES] = SaveMode.CHANGES;
SAVE_MODES[Finish.SAVE_DIALOG] = SaveMode.ALWAYS;
SAVE_MODES[Finish.SAVE_FOR_RETRY] = SaveMode.FOR_RETRY;

// The save mode of those numbers of Finish that ask for a save.
const saveModeOf = (finished) => SAVE_MODES[finished];

module.exports = { finish, mayReject, onEvent, plan, saveModeOf };
