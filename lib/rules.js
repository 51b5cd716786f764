'use strict';
// The numbers by which the rules (src/rules.rs) are asked, and answer.

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

module.exports = { Event, Facts, Finish, Plan, Refusal };
