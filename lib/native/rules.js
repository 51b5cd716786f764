'use strict';
// Asks the rules (src/rules.rs). They are pure, so their answers are cached.

const native = require('./index');
const { Finish, SaveMode } = require('./constants');

const MAX_ANSWERS = 4096; // of one rule; the method of a request may be any word

// Caches the answers of `rule` by its two arguments.
function cached(rule) {
  let size = 0;
  const answers = new Map();
  return (first, second) => {
    let ofFirst = answers.get(first);
    const known = ofFirst?.get(second);
    if (known !== undefined) return known;
    if (++size > MAX_ANSWERS) {
      answers.clear();
      size = 1;
      ofFirst = undefined;
    }
    if (!ofFirst) answers.set(first, (ofFirst = new Map()));
    const answer = rule(first, second);
    ofFirst.set(second, answer);
    return answer;
  };
}

// Bits and a status code as one number, and apart again.
const STATUSES = 1024;
const joined = (bits, status) => bits * STATUSES + status;
const split = (number) => [Math.floor(number / STATUSES), number % STATUSES];
const isStatus = (status) => Number.isInteger(status) && status >= 0 && status < STATUSES;

const planOf = cached((method, asked) => native.plan(method, ...split(asked)));
const finishOf = cached((asked, status) => native.finish(...split(asked), status));

// What a message means for its session: bits of Plan. `status` is 0 for a request.
const plan = (method, facts, status) =>
  isStatus(status) ? planOf(method, joined(facts, status)) : native.plan(method, facts, status);

// What a final response means for the session of a request that had `plan`: a number of Finish.
const finish = (planned, facts, status) =>
  isStatus(status) ? finishOf(joined(planned, facts), status) : native.finish(planned, facts, status);

// What an event means for the session of a dialog: a number of Finish. `status` is 0 without a final response.
const onEvent = (event, facts, status) => native.onEvent(event, facts, status);

// Whether a message may be answered 503 when the store has failed: a number of Refusal.
const mayReject = (method, planned) => native.mayReject(method, planned);

const SAVE_MODES = [];
SAVE_MODES[Finish.SAVE_CHANGES] = SaveMode.CHANGES;
SAVE_MODES[Finish.SAVE_DIALOG] = SaveMode.ALWAYS;
SAVE_MODES[Finish.SAVE_FOR_RETRY] = SaveMode.FOR_RETRY;

// The save mode of those numbers of Finish that ask for a save.
const saveModeOf = (finished) => SAVE_MODES[finished];

module.exports = { finish, mayReject, onEvent, plan, saveModeOf };
