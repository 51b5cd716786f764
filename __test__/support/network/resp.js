'use strict';
// Commands as they are on the wire to Redis: arrays of bulk strings.

// The commands that `buffer` begins with: {commands: [{words, bytes}], rest}.
function commandsIn(buffer) {
  const commands = [];
  let start = 0;
  for (let found = commandAt(buffer, start); found; found = commandAt(buffer, start)) {
    commands.push({ words: found.words, bytes: buffer.subarray(start, found.end) });
    start = found.end;
  }
  return { commands, rest: buffer.subarray(start) };
}

// The command that begins at a place, if all of it is there.
function commandAt(buffer, start) {
  const header = lineAt(buffer, start);
  if (!header) return null;
  if (header.text[0] !== '*') throw new Error(`not a command: ${header.text}`);
  const words = [];
  let at = header.end;
  for (let count = Number(header.text.slice(1)); count > 0; count--) {
    const line = lineAt(buffer, at);
    if (!line) return null;
    const end = line.end + Number(line.text.slice(1));
    if (buffer.length < end + 2) return null;
    words.push(buffer.toString('latin1', line.end, end));
    at = end + 2;
  }
  return { words, end: at };
}

function lineAt(buffer, start) {
  const end = buffer.indexOf('\r\n', start);
  return end === -1 ? null : { text: buffer.toString('latin1', start, end), end: end + 2 };
}

module.exports = { commandsIn };
