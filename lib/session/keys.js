'use strict';
// The keys of a session, each with the resource that the application stores with it, if any.

const { SessionError } = require('../errors');
const native = require('../native');
const { ErrorCode, KEY_PREFIX } = require('../native/constants');
const codec = require('./codec');

class Keys {
  #record;
  #mks;
  #ids = null;
  // by the id under which a key was claimed, the id that it has got, if that is another one
  #renamed = null;
  // by name, the resources that the application has given or read: each with the text that the record has of it
  #resources = null;

  // `ids`, where they are known
  constructor(record, mks, ids = null) {
    this.#record = record;
    this.#mks = mks;
    this.#ids = ids;
  }

  // read from the record once, until it may have changed
  get ids() {
    return (this.#ids ??= native.recordKeys(this.#record).map((name) => name.slice(KEY_PREFIX.length)));
  }

  get names() {
    return this.ids.map((id) => KEY_PREFIX + id);
  }

  // each name with its resource, or null
  get data() {
    return Object.fromEntries(this.ids.map((id) => [KEY_PREFIX + id, this.resource(id) ?? null]));
  }

  // The record may have changed. A resource that only another process has changed is read again at its next use.
  refresh() {
    this.#ids = null;
    this.#resources?.forEach(({ resource, text }, name) => {
      if (native.recordResource(this.#record, name) === text) return;
      if (encode(name, resource) === text) this.#resources.delete(name);
    });
  }

  #keep(name, resource, text) {
    this.#resources ??= new Map();
    this.#resources.set(name, { resource, text });
  }

  // add(id), add(resource) with a sessionID, add(id, resource); gives the id. `leg`: its leg descriptor, if it has one.
  add(id, resource, leg) {
    if (id !== null && typeof id === 'object') {
      resource = isStorable(id) ? id : undefined;
      id = id.sessionID;
    }
    const invalid = refusal(id);
    if (invalid) throw invalid;
    if (resource === undefined || resource === null) native.recordAddKey(this.#record, id, undefined, leg);
    else {
      const name = KEY_PREFIX + id;
      const text = encode(name, resource);
      native.recordAddKey(this.#record, id, text, leg);
      this.#keep(name, resource, text);
    }
    this.#added(id, leg !== undefined);
    return id;
  }

  #added(id, isAnother = false) {
    // the key that had this id
    if (this.#renamed?.has(id) && !isAnother) return;
    this.#renamed?.delete(id);
    if (this.#ids && !this.#ids.includes(id)) this.#ids.push(id);
  }

  // Adds the key of a dialog, with its leg descriptor. The save that stores it gives it another id if another dialog has this
  // one.
  claim(id, leg) {
    native.recordAddKey(this.#record, id, undefined, leg, true);
    this.#added(id);
  }

  // The leg descriptor of a key, null if it has none.
  leg(id) {
    return native.recordLeg(this.#record, id);
  }

  setLeg(id, leg) {
    const resource = native.recordResource(this.#record, KEY_PREFIX + id) ?? undefined;
    native.recordAddKey(this.#record, id, resource, leg);
  }

  // The id that a key has now.
  current(id) {
    return this.#renamed?.get(id) ?? id;
  }

  // A save has given keys other ids, in the same places. Gives pairs of an id and the one that took its place.
  rename() {
    const before = this.ids;
    this.#ids = null;
    const pairs = before.map((id, at) => [id, this.ids[at]]).filter(([id, now]) => now !== undefined && now !== id);
    this.#renamed ??= new Map();
    for (const [id, now] of pairs) {
      this.#renamed.set(id, now);
      const kept = this.#resources?.get(KEY_PREFIX + id);
      if (!kept) continue;
      this.#resources.delete(KEY_PREFIX + id);
      this.#resources.set(KEY_PREFIX + now, kept);
    }
    return pairs;
  }

  resource(id) {
    const name = KEY_PREFIX + id;
    const kept = this.#resources?.get(name);
    if (kept) return kept.resource;
    const text = native.recordResource(this.#record, name);
    if (text === null) return undefined;
    const instances = [];
    const resource = codec.decode(text, instances);
    this.#keep(name, resource, text);
    instances.forEach((instance) => instance.attachSession(this.#mks));
    return resource;
  }

  // Gives the record the resources that have changed.
  write() {
    this.#resources?.forEach((kept, name) => {
      const text = encode(name, kept.resource);
      const id = name.slice(KEY_PREFIX.length);
      if (text === kept.text || !this.ids.includes(id)) return;
      native.recordAddKey(this.#record, id, text);
      kept.text = text;
    });
  }

  // A key was removed; if not `isCertain`, perhaps.
  forget(id, isCertain) {
    this.#ids = isCertain && this.#ids ? this.#ids.filter((other) => other !== id) : null;
    this.#resources?.delete(KEY_PREFIX + id);
    this.#renamed?.forEach((now, before) => now === id && this.#renamed.delete(before));
  }
}
Keys.isId = isId;
Keys.refusal = refusal;

// Whether something can be the id of a key, or the name of a value.
function isId(id) {
  return typeof id === 'string' && id !== '' && id.isWellFormed();
}

// The error for something that can't be the id of a key; null if it can.
function refusal(id) {
  if (isId(id)) return null;
  const message = 'the key of a session must be a string of Unicode that is not empty, or have one as sessionID';
  return new SessionError(ErrorCode.ARGUMENT, message);
}

const encode = (name, resource) => codec.encode(resource, `the resource of key ${name}`);

// A request or a socket with a sessionID is not stored as a resource.
function isStorable(object) {
  const proto = Object.getPrototypeOf(object);
  return proto === Object.prototype || proto === null || codec.resolvers.includes(object.constructor);
}

module.exports = Keys;
