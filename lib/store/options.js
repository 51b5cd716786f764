'use strict';
// The options of a native store as JSON text; the native engine checks them. A value that JSON would leave out or change,
// such as a function or NaN, becomes a word, so that the engine refuses the option by its name. A `ttl` that is a function
// stays in JavaScript.

// options that are objects of options
const NESTED = new Set(['cache']);

function optionsText(options) {
  const entries = Object.entries(options).filter(([name, value]) => name !== 'ttl' || typeof value !== 'function');
  return JSON.stringify(
    Object.fromEntries(entries.map(([name, value]) => [name, NESTED.has(name) ? nested(value) : printable(value)]))
  );
}

function nested(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return printable(value);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, printable(inner)]));
}

function printable(value) {
  if (value === undefined || value === null || typeof value === 'boolean' || Number.isFinite(value)) return value;
  if (typeof value === 'string') return value;
  // in brackets, so that it is not taken for a valid text or number
  return [typeof value === 'number' || typeof value === 'bigint' ? String(value) : typeof value];
}

module.exports = optionsText;
