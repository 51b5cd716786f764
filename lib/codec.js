'use strict';
// Data <-> JSON text. Instances of registered classes are written as {"@class": name, "value": plain data} and come
// back as `new Class(plain data)`; Date is always registered.
//
// The tags are made by toJSON methods that are in place only while our JSON.stringify runs: one pass, no replacer
// function, no walk. Data that has keys of its own like the tag's is noticed by counting and written with one '@'
// more, in a slower pass.

const SessionError = require('./errors');

const TAG = '@class';
const TAG_TEXT = `"${TAG}":`;
const ESCAPABLE = /^@+class$/;
const ESCAPED = /^@@+class$/;

// the classes, by name at use: applications push to this array
const resolvers = [Date];

let hooks = [];
// how many stringify() are under way, and how many tags the innermost has written
let depth = 0;
let written = 0;
// the tags of the slower pass, so that they are told from data that looks like one
let tags = null;

function tag(name, value) {
  const made = { [TAG]: name, value };
  written++;
  if (tags) tags.add(made);
  return made;
}

function hook(Class) {
  const proto = Class.prototype;
  const made = { Class, proto, resting: undefined };
  made.toJSON = function toJSON(key) {
    // a subclass that nobody registered is written as it would be without us
    const registered = this.constructor === Class;
    const { resting } = made;
    const plain = typeof resting === 'function' ? resting.call(this, key) : registered ? { ...this } : this;
    return registered ? tag(Class.name, plain) : plain;
  };
  if (!Object.hasOwn(proto, 'toJSON')) {
    Object.defineProperty(proto, 'toJSON', {
      value: proto.toJSON,
      writable: true,
      configurable: true,
      enumerable: false
    });
  }
  return made;
}

function checkClass(Class) {
  if (typeof Class !== 'function' || !Class.name || !Class.prototype) {
    throw new SessionError('ERR_SESSION_ARGUMENT', 'addClass needs a class with a name, to find it again by that name');
  }
  const own = Object.getOwnPropertyDescriptor(Class.prototype, 'toJSON');
  if (own ? !own.writable : !Object.isExtensible(Class.prototype)) {
    const message = `${Class.name} can't be registered: its prototype is frozen, so instances can't be told when saved`;
    throw new SessionError('ERR_SESSION_ARGUMENT', message);
  }
}

function addClasses(classes) {
  classes.forEach(checkClass);
  for (const Class of classes) {
    if (!resolvers.includes(Class)) resolvers.push(Class);
  }
}

function refreshHooks() {
  if (hooks.length === resolvers.length && hooks.every(({ Class }, i) => Class === resolvers[i])) return;
  resolvers.forEach(checkClass);
  hooks = resolvers.map((Class) => hooks.find((known) => known.Class === Class) || hook(Class));
}

// JSON.stringify with the hooks in place. A toJSON of the application may come here again.
function stringify(value, replacer) {
  if (depth === 0) refreshHooks();
  depth++;
  try {
    if (depth === 1) {
      for (const known of hooks) {
        known.resting = known.proto.toJSON;
        known.proto.toJSON = known.toJSON;
      }
    }
    return JSON.stringify(value, replacer);
  } finally {
    depth--;
    if (depth === 0) for (const { proto, resting } of hooks) proto.toJSON = resting;
  }
}

// how often the tag stands in the text as a key: a quote within a string has a backslash before it
function countTags(text) {
  let count = 0;
  for (let at = text.indexOf(TAG_TEXT); at !== -1; at = text.indexOf(TAG_TEXT, at + 1)) {
    const before = text[at - 1];
    if (before === '{' || before === ',') count++;
  }
  return count;
}

function escapeKeys(key, value) {
  if (value === null || typeof value !== 'object' || tags.has(value) || Array.isArray(value)) return value;
  const keys = Object.keys(value);
  if (!keys.some((name) => ESCAPABLE.test(name))) return value;
  return Object.fromEntries(keys.map((name) => [ESCAPABLE.test(name) ? `@${name}` : name, value[name]]));
}

// The JSON text of a value; `what` names it in errors.
function encode(value, what = 'session') {
  const outer = [written, tags];
  [written, tags] = [0, null];
  let text;
  try {
    text = stringify(value);
    if (text !== undefined && text.includes('@class":') && hasLookAlike(text)) {
      tags = new WeakSet();
      text = stringify(value, escapeKeys);
    }
  } catch (err) {
    throw new SessionError('ERR_SESSION_DATA', explain(value, what, err), err);
  } finally {
    [written, tags] = outer;
  }
  if (text === undefined) {
    throw new SessionError('ERR_SESSION_DATA', `${what} is ${typeof value}: only what JSON can hold is stored`);
  }
  return text;
}

function hasLookAlike(text) {
  return countTags(text) !== written || /[{,]"@@+class":/.test(text);
}

// Where in the value JSON.stringify failed, and why.
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
    return find(root, what) || `${what} can't be turned into JSON: ${err.message}`;
  } catch {
    return `${what} can't be turned into JSON: ${err.message}`;
  }
}

function resolve(name, plain) {
  const Class = resolvers.findLast((known) => known.name === name);
  if (!Class) {
    // Not registered here. It goes back into the store as it came, so that another process still knows it.
    const holder = plain !== null && typeof plain === 'object' ? plain : { [TAG]: name, value: plain };
    const copy = () => (holder === plain ? (Array.isArray(plain) ? [...plain] : { ...plain }) : plain);
    const toJSON = () => (depth > 0 ? tag(name, copy()) : copy());
    return Object.defineProperty(holder, 'toJSON', { value: toJSON, enumerable: false, configurable: true });
  }
  try {
    return new Class(Class === Date && plain === null ? NaN : plain);
  } catch (err) {
    throw new SessionError('ERR_SESSION_DATA', `new ${name}(data) failed on data from the store: ${err.message}`, err);
  }
}

function revive(value, instances) {
  if (value === null || typeof value !== 'object') return value;
  const keys = Object.keys(value);
  for (const key of keys) {
    const revived = revive(value[key], instances);
    if (revived !== value[key]) put(value, key, revived);
  }
  if (keys.length === 2 && typeof value[TAG] === 'string' && Object.hasOwn(value, 'value')) {
    const instance = resolve(value[TAG], value.value);
    if (instance && typeof instance.attachSession === 'function') instances.push(instance);
    return instance;
  }
  if (!keys.some((key) => ESCAPED.test(key))) return value;
  return Object.fromEntries(keys.map((key) => [ESCAPED.test(key) ? key.slice(1) : key, value[key]]));
}

// Sets a property as JSON.parse does: '__proto__' and the like are names as any other.
function put(object, key, value) {
  if (key in Object.prototype || key === 'mks' || key === 'save') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[key] = value;
  }
}

// The value of a JSON text. Instances that have attachSession are added to `instances`.
function decode(text, instances = []) {
  const value = JSON.parse(text);
  return text.includes('@class":') ? revive(value, instances) : value;
}

module.exports = { addClasses, decode, encode, put, resolvers };
