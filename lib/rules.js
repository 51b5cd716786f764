'use strict';
// The numbers by which the rules (src/rules.rs) are asked, and answer. The rules are pure: what they have answered once
// is remembered.

const native = require('./native');

const REMEMBERED = 4096; // answers of one rule; a method may be any word

const bits = (...names) => Object.freeze(Object.fromEntries(names.map((name, bit) => [name, 1 << bit])));
const numbers = (...names) => Object.freeze(Object.fromEntries(names.map((name, number) => [name, number])));

const Facts = bits(
  'NETWORK',
  'TO_TAG',
  'AUTHORIZED',
  'CANCELED',
  'PENDING',
  'ATTACHED',
  'SHARED',
  'MADE_BY_SERVER',
  'UNSUBSCRIBES',
  'HELD'
);

const Plan = bits(
  'CREATE',
  'LOAD',
  'ON_FINAL',
  'ON_ACK',
  'AFTER_HANDLER',
  'REMOVE_FIRST',
  'FORMS_DIALOG',
  'ENDS_DIALOG',
  'IN_DIALOG'
);

// the first three are extents of a save
const Finish = numbers('SAVE_CHANGES', 'SAVE_DIALOG', 'SAVE_FOR_RETRY', 'REMOVE', 'NOTHING');

// whether a message may be answered 503 when the store has failed
const Refusal = numbers('NEVER', 'ON_REQUEST', 'BY_POLICY');

const Event = numbers('CANCELED', 'NOT_SENT', 'ANSWERED', 'ENDED');

// Answers of `rule`, by two things it is asked about.
function remembered(rule) {
  let size = 0;
  const answers = new Map();
  return (first, second) => {
    let of = answers.get(first);
    const known = of?.get(second);
    if (known !== undefined) return known;
    if (++size > REMEMBERED) {
      answers.clear();
      size = 1;
      of = undefined;
    }
    if (!of) answers.set(first, (of = new Map()));
    const answer = rule(first, second);
    of.set(second, answer);
    return answer;
  };
}

// Facts and a status code as one number, and apart again.
const STATUSES = 1024;
const both = (facts, status) => facts * STATUSES + status;
const apart = (number) => [Math.floor(number / STATUSES), number % STATUSES];
const isStatus = (status) => Number.isInteger(status) && status >= 0 && status < STATUSES;

const planOf = remembered((method, asked) => native.plan(method, ...apart(asked)));
const finishOf = remembered((asked, status) => native.finish(...apart(asked), status));

// What a message means for its session: bits of Plan. `status` is 0 for a request.
const plan = (method, facts, status) =>
  isStatus(status) ? planOf(method, both(facts, status)) : native.plan(method, facts, status);

// What a final response means for the session of a request that had `plan`: a number of Finish.
const finish = (planned, facts, status) =>
  isStatus(status) ? finishOf(both(planned, facts), status) : native.finish(planned, facts, status);

module.exports = { Event, Facts, Finish, Plan, Refusal, finish, plan };
