'use strict';
// What waits for the end of this turn of the event loop, with one timer for all of it: objects whose method afterTurn() is
// called then.

const rethrow = require('./rethrow');

let waiting = [];

function run() {
  const objects = waiting;
  waiting = [];
  for (const object of objects) {
    try {
      object.afterTurn();
    } catch (err) {
      rethrow(err);
    }
  }
}

function afterTurn(object) {
  if (waiting.push(object) === 1) setImmediate(run);
}

module.exports = afterTurn;
