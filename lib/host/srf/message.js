'use strict';
// Reads the messages of drachtio-srf. Message#get compares its argument with each header; the table `headers` has them by
// their lower-case names, unless the application makes drachtio-srf preserve other names.

const { parametersOf } = require('../request');

const namesPreserved = () => Boolean(process.env.DRACHTIO_PRESERVE_HEADER_NAMES);

// Gives a function that reads a header of a message by its name in lower case.
function headerReader() {
  if (namesPreserved()) return (message, name) => message.get?.(name);
  return function header(message, name) {
    const { headers } = message;
    // a mock may have no such table
    if (headers === undefined || headers === null || headers['call-id'] === undefined) return message.get?.(name);
    return headers[name];
  };
}

// The tag of the value of a From or To header (a token of RFC 3261, 25.1, as a rule), undefined if it has none.
function tagOf(value) {
  if (typeof value !== 'string') return undefined;
  // as nearly every host and peer writes it
  const start = value.includes('"') ? -1 : value.indexOf(';tag=', value.indexOf('>'));
  if (start >= 0) {
    const end = value.indexOf(';', start + 5);
    const tag = end < 0 ? value.slice(start + 5) : value.slice(start + 5, end);
    if (/^[\w\-.!%*+`'~]+$/.test(tag)) return tag;
  }
  const tag = /;\s*tag\s*=\s*([^;,\s]+)/i.exec(parametersOf(value))?.[1];
  // as it can be stored
  return tag?.toWellFormed().replace(/\p{Cc}/gu, '') || undefined;
}

// The branch of the value of a Via header.
const branchOf = (value) => /;\s*branch\s*=\s*([^;,\s]+)/i.exec(value ?? '')?.[1];

module.exports = { branchOf, headerReader, tagOf };
