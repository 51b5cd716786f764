'use strict';
// What an application keeps in the session of a call, with a given size as JSON text, and the check that a request gets it.

const PARTY = { name: 'Alice Cooper', number: '+49 30 901820', trusted: true };

// makeData(bytes)(id): a session of about `bytes` bytes with eight properties. Two are objects; `call` differs from call to
// call.
function makeData(bytes) {
  const rest = Math.max(0, bytes - JSON.stringify(build('000000000000', '', [])).length);
  // half of the rest is a list of short texts, as of call detail records, and half is one text
  const lines = linesOf(rest / 2);
  const note = 'n'.repeat(Math.max(0, rest - JSON.stringify(lines).length + 2));
  return (id) => build(id, note, lines);
}

const LINE = 'an event of this call, as a line of text';
const linesOf = (bytes) => Array.from({ length: Math.floor(bytes / (LINE.length + 3)) }, () => LINE);

function build(id, note, events) {
  return { call: id, state: 'up', began: 1795376434805, caller: PARTY, codec: 'PCMA/8000', legs: 1, note, events };
}

// Whether a session has the data that the INVITE stored.
function isSame(session, made) {
  return (
    session.call === made.call &&
    session.note.length === made.note.length &&
    session.events.length === made.events.length &&
    session.caller.number === PARTY.number
  );
}

// makeProperties(bytes, count)(id): a session of about `bytes` bytes with `count` properties of one size, in turns a text and
// a list of texts.
function makeProperties(bytes, count) {
  const each = bytes / count - '"property-00":,'.length;
  return (id) => {
    const data = {};
    for (let i = 0; i < count; i++) {
      data[`property-${String(i).padStart(2, '0')}`] = i % 2 ? linesOf(each) : id.padEnd(each - 2, 'x');
    }
    return data;
  };
}

// the property that the change with this number concerns
function nameOf(number, data) {
  const names = Object.keys(data);
  return names[number % names.length];
}

// Changes one property of such a session, and not its size: another text, or another line in the list.
function changeProperty(data, number) {
  const name = nameOf(number, data);
  const value = data[name];
  const mark = String(number).padStart(12, '0');
  if (typeof value === 'string') data[name] = mark + value.slice(mark.length);
  else value[number % value.length] = mark + LINE.slice(mark.length);
}

module.exports = { changeProperty, isSame, makeData, makeProperties, nameOf };
