'use strict';
// How the classic module stores instances: one walk over the tree writes a marker for each instance of a registered class,
// another makes instances of the objects with a marker.

const MARKER = '__class__';
const classes = [Date];

function marked(value) {
  if (value === null || typeof value !== 'object') return typeof value === 'function' ? undefined : value;
  const Class = classes.find((known) => value instanceof known);
  if (Class) return { [MARKER]: Class.name, value: Class === Date ? value.toISOString() : marked({ ...value }) };
  if (Array.isArray(value)) return value.map(marked);
  const copy = {};
  for (const key of Object.keys(value)) copy[key] = marked(value[key]);
  return copy;
}

function unmarked(value) {
  if (value === null || typeof value !== 'object') return value;
  if (value[MARKER]) {
    const Class = classes.find((known) => known.name === value[MARKER]);
    if (Class) return new Class(value.value);
  }
  for (const key of Object.keys(value)) value[key] = unmarked(value[key]);
  return value;
}

module.exports = { marked, unmarked };
