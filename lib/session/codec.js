'use strict';
// Data <-> JSON text. Instances of registered classes are written as {"@class": name, "value": plain data} and come
// back as `new Class(plain data)`; Date is always registered.
//
// toJSON methods write the tags. They are in place only while encode() runs JSON.stringify: one pass, without a replacer
// function, which takes twice as long. If data has keys of its own like the tag's, the text has more tags than were
// written; a second pass with a replacer then writes such keys with one more '@'.

const { SessionError } = require('../errors');
const { ErrorCode } = require('../native/constants');
const explain = require('./json-failure');

const TAG = '@class';
const TAG_TEXT = `"${TAG}":`;
const ESCAPABLE = /^@+class$/;
const ESCAPED = /^@@+class$/;

// the registered classes; applications may push to this array
const resolvers = [Date];

let hooks = [];
// how many calls of stringify() are nested, and how many tags the innermost encode() has written
let depth = 0;
let written = 0;
// the tags of the second pass, to distinguish them from data that looks like one
let tags = null;

function tag(name, value) {
  const made = { [TAG]: name, value };
  written++;
  if (tags) tags.add(made);
  return made;
}

function hook(Class) {
  const proto = Class.prototype;
  const made = { Class, proto, original: undefined };
  made.toJSON = function toJSON(key) {
    // an instance of a subclass that is not registered is written as JSON.stringify writes it
    const registered = this.constructor === Class;
    const { original } = made;
    const plain = typeof original === 'function' ? original.call(this, key) : registered ? { ...this } : this;
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
    throw new SessionError(ErrorCode.ARGUMENT, 'addClass needs a class with a name, to find it again by that name');
  }
  const own = Object.getOwnPropertyDescriptor(Class.prototype, 'toJSON');
  if (own ? !own.writable : !Object.isExtensible(Class.prototype)) {
    const message = `${Class.name} can't be registered: its prototype is frozen, so its instances can't be tagged when saved`;
    throw new SessionError(ErrorCode.ARGUMENT, message);
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

// JSON.stringify with the hooks in place. A toJSON of the application may call it again.
function stringify(value, replacer) {
  if (depth === 0) refreshHooks();
  depth++;
  try {
    if (depth === 1) {
      for (const known of hooks) {
        known.original = known.proto.toJSON;
        known.proto.toJSON = known.toJSON;
      }
    }
    return JSON.stringify(value, replacer);
  } finally {
    depth--;
    if (depth === 0) for (const { proto, original } of hooks) proto.toJSON = original;
  }
}

// How often the tag is a key in the text: a quote within a string follows a backslash.
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
  return Object.fromEntries(keys.map((name) => [escapedName(name), value[name]]));
}

// The JSON text of a value. `what` names the value in errors.
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
    throw failure(value, what, err);
  } finally {
    [written, tags] = outer;
  }
  if (text === undefined) {
    throw new SessionError(ErrorCode.DATA, `${what} is ${typeof value}: only what JSON can hold is stored`);
  }
  return text;
}

// The error for a value that JSON can't hold, or that can't be read.
function failure(value, what, err) {
  return err instanceof SessionError ? err : new SessionError(ErrorCode.DATA, explain(value, what, err), err);
}

// The name of a property as a JSON text has it, and back.
const escapedName = (name) => (ESCAPABLE.test(name) ? `@${name}` : name);
const plainName = (name) => (ESCAPED.test(name) ? name.slice(1) : name);

function hasLookAlike(text) {
  return countTags(text) !== written || /[{,]"@@+class":/.test(text);
}

function resolve(name, plain) {
  const Class = resolvers.findLast((known) => known.name === name);
  if (!Class) {
    // Not registered in this process. A save writes it as it was loaded, for processes that know the class.
    const holder = plain !== null && typeof plain === 'object' ? plain : { [TAG]: name, value: plain };
    const copy = () => (holder === plain ? (Array.isArray(plain) ? [...plain] : { ...plain }) : plain);
    const toJSON = () => (depth > 0 ? tag(name, copy()) : copy());
    return Object.defineProperty(holder, 'toJSON', { value: toJSON, enumerable: false, configurable: true });
  }
  try {
    return new Class(Class === Date && plain === null ? NaN : plain);
  } catch (err) {
    throw new SessionError(ErrorCode.DATA, `new ${name}(data) failed on data from the store: ${err.message}`, err);
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
  return Object.fromEntries(keys.map((key) => [plainName(key), value[key]]));
}

// Sets a property as JSON.parse does: '__proto__' and the like are ordinary names.
function put(object, key, value) {
  if (key in Object.prototype || key === 'mks' || key === 'save') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else {
    object[key] = value;
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (err) {
    throw new SessionError(ErrorCode.CORRUPT, `what is stored is not JSON: ${err.message}`, err);
  }
}

// The value of a JSON text. Instances that have attachSession are added to `instances`.
function decode(text, instances = []) {
  const value = parse(text);
  return text.includes('@class":') ? revive(value, instances) : value;
}

module.exports = { addClasses, decode, encode, escapedName, failure, plainName, put, resolvers };
