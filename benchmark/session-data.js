'use strict';
// What an application keeps in the session of a call, with a given size as JSON text, and the check that it came back.

const PARTY = { name: 'Alice Cooper', number: '+49 30 901820', trusted: true };

// A session of about `bytes` bytes: eight properties, two of them objects, one that is different in each call.
function makeData(bytes) {
  const rest = Math.max(0, bytes - JSON.stringify(build('000000000000', '', [])).length);
  // half of it one text, half of it a list of short ones, as notes or call detail records are
  const line = 'an event of this call, as a line of text';
  const lines = Array.from({ length: Math.floor(rest / 2 / (line.length + 3)) }, () => line);
  const note = 'n'.repeat(Math.max(0, rest - lines.length * (line.length + 3)));
  return (id) => build(id, note, lines);
}

function build(id, note, events) {
  return { call: id, state: 'up', began: 1795376434805, caller: PARTY, codec: 'PCMA/8000', legs: 1, note, events };
}

// Whether a session is the one that was stored.
function isSame(session, made) {
  return (
    session.call === made.call &&
    session.note.length === made.note.length &&
    session.events.length === made.events.length &&
    session.caller.number === PARTY.number
  );
}

module.exports = { isSame, makeData };
