'use strict';
// Explains why JSON.stringify failed: the path of the value that JSON can't hold, and why it can't.

// `what` names the root in the explanation, `err` is the error of JSON.stringify.
function explain(root, what, err) {
  const above = new Map();
  function find(value, path) {
    if (typeof value === 'bigint') return `${path} is a BigInt, which JSON can't hold: store it as a string`;
    if (value === null || typeof value !== 'object') return null;
    if (above.has(value)) return `${path} refers back to ${above.get(value)}: JSON can't hold circular data`;
    above.set(value, path);
    for (const key of Object.keys(value)) {
      const place = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
      let inner;
      try {
        inner = value[key];
        if (inner && typeof inner.toJSON === 'function') inner = inner.toJSON(key);
      } catch (thrown) {
        return `${place} can't be read: ${thrown && thrown.message}`;
      }
      const found = find(inner, place);
      if (found) return found;
    }
    above.delete(value);
    return null;
  }
  try {
    return find(root, what) || `${what} can't be turned into JSON: ${err?.message}`;
  } catch {
    return `${what} can't be turned into JSON: ${err?.message}`;
  }
}

module.exports = explain;
