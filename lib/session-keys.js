'use strict';
// The keys of a session: names it is found by, each with a resource of the application if it was given one.

const codec = require('./codec');
const native = require('./native');
const SessionError = require('./errors');

const PREFIX = 'mks:';

class Keys {
  #record;
  #mks;
  #ids = null;
  // those resources that were given or asked for, by name: each with its text as the record has it
  #resources = null;

  // `ids`, where they are known
  constructor(record, mks, ids = null) {
    this.#record = record;
    this.#mks = mks;
    this.#ids = ids;
  }

  // asked for once, until they may have changed
  get ids() {
    return (this.#ids ??= native.recordKeys(this.#record).map((name) => name.slice(PREFIX.length)));
  }

  get names() {
    return this.ids.map((id) => PREFIX + id);
  }

  // each name with its resource, or null
  get data() {
    return Object.fromEntries(this.ids.map((id) => [PREFIX + id, this.resource(id) ?? null]));
  }

  // The record may have changed. A resource that others have changed, and nobody here, is read anew when it is asked for.
  refresh() {
    this.#ids = null;
    this.#resources?.forEach(({ live, text }, name) => {
      if (native.recordResource(this.#record, name) === text) return;
      if (encode(name, live) === text) this.#resources.delete(name);
    });
  }

  #keep(name, live, text) {
    this.#resources ??= new Map();
    this.#resources.set(name, { live, text });
  }

  // add(id), add(resource) with a sessionID, add(id, resource); gives the id
  add(id, resource) {
    if (id !== null && typeof id === 'object') {
      resource = isStorable(id) ? id : undefined;
      id = id.sessionID;
    }
    const wrong = refusal(id);
    if (wrong) throw wrong;
    if (resource === undefined || resource === null) native.recordAddKey(this.#record, id);
    else {
      const name = PREFIX + id;
      const text = encode(name, resource);
      native.recordAddKey(this.#record, id, text);
      this.#keep(name, resource, text);
    }
    if (this.#ids && !this.#ids.includes(id)) this.#ids.push(id);
    return id;
  }

  resource(id) {
    const name = PREFIX + id;
    const kept = this.#resources?.get(name);
    if (kept) return kept.live;
    const text = native.recordResource(this.#record, name);
    if (text === null) return undefined;
    const instances = [];
    const resource = codec.decode(text, instances);
    this.#keep(name, resource, text);
    instances.forEach((instance) => instance.attachSession(this.#mks));
    return resource;
  }

  // Gives the record what has changed of the resources.
  write() {
    this.#resources?.forEach((kept, name) => {
      const text = encode(name, kept.live);
      const id = name.slice(PREFIX.length);
      if (text === kept.text || !this.ids.includes(id)) return;
      native.recordAddKey(this.#record, id, text);
      kept.text = text;
    });
  }

  // A key was taken away, or nobody knows whether it was.
  forget(id, isGone) {
    this.#ids = isGone && this.#ids ? this.#ids.filter((other) => other !== id) : null;
    this.#resources?.delete(PREFIX + id);
  }
}
Keys.PREFIX = PREFIX;
Keys.isId = isId;
Keys.refusal = refusal;

// Whether something can be the id of a key, or that of a value.
function isId(id) {
  return typeof id === 'string' && id !== '' && id.isWellFormed();
}

// Why something can't be the id of a key, if it can't.
function refusal(id) {
  if (isId(id)) return null;
  const message = 'the key of a session is a string of Unicode that is not empty, or has one as sessionID';
  return new SessionError('ERR_SESSION_ARGUMENT', message);
}

const encode = (name, resource) => codec.encode(resource, `the resource of key ${name}`);

// a request or a socket that carries a sessionID is not something to be stored
function isStorable(object) {
  const proto = Object.getPrototypeOf(object);
  return proto === Object.prototype || proto === null || codec.resolvers.includes(object.constructor);
}

module.exports = Keys;
