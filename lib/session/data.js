'use strict';
// The data of a session. SessionData is the data object: the application's properties and, not enumerable, `mks`, save() and
// update(). Content makes it at its first use, and tells what has changed since the record got or gave it.

const { SessionError } = require('../errors');
const native = require('../native');
const { ErrorCode } = require('../native/constants');
const codec = require('./codec');
const { isPlain } = require('./plain-copy');
const { Snapshot } = require('./snapshot');

class SessionData {
  #mks;

  constructor(mks) {
    this.#mks = mks;
  }

  get mks() {
    return this.#mks;
  }

  save(options, callback) {
    return this.#mks.save(options, callback);
  }

  update(change, callback) {
    return this.#mks.update(change, callback);
  }
}

// Sets the properties of another object on the data.
function fill(data, content) {
  Object.keys(content).forEach((key) => codec.put(data, key, content[key]));
}

class Content {
  #record;
  #mks;
  // whether the record has no data
  #isNew;
  #data;
  // what the record got or gave last
  #snapshot;
  #length = 0;
  #knownLength = 0;
  // whether a load has brought what the data did not take
  #isStale = false;

  constructor(record, mks, isNew) {
    this.#record = record;
    this.#mks = mks;
    this.#isNew = isNew;
  }

  get data() {
    if (this.#data) return this.#data;
    const instances = [];
    const data = new SessionData(this.#mks);
    if (!this.#isNew) {
      const text = native.recordProjected(this.#record);
      fill(data, codec.decode(text, instances));
      this.#length = this.#knownLength = text.length;
    }
    this.#snapshot = Snapshot.of(data);
    this.#data = data;
    this.#attach(instances);
    return data;
  }

  // Replaces all properties.
  replace(content) {
    if (content === null || typeof content !== 'object' || Array.isArray(content)) {
      throw new SessionError(ErrorCode.ARGUMENT, `a session must be an object, not ${JSON.stringify(content)}`);
    }
    const { data } = this;
    if (content === data) return;
    const copy = { ...content };
    Object.keys(data).forEach((key) => delete data[key]);
    fill(data, copy);
  }

  // Length of its JSON text, about: what patches add is counted in full, until that is more than the rest.
  get length() {
    if (this.#length > 2 * this.#knownLength) this.#length = this.#knownLength = native.recordLength(this.#record);
    return this.#length;
  }

  // What has changed since the record got or gave the data last; undefined if nothing has.
  patch() {
    if (!this.#data) return undefined;
    try {
      return this.#snapshot.patchOf(written(this.#data));
    } catch (err) {
      throw codec.failure(this.#data, 'session', err);
    }
  }

  // The record has got this patch.
  recorded(patch) {
    if (patch === undefined) return;
    this.#snapshot.apply(patch);
    const { length } = patch.set ?? '';
    if (patch.isWhole) this.#length = this.#knownLength = length;
    else this.#length += length;
  }

  // Whether the record has all of the data; not where that can't be read.
  hasNoChange() {
    try {
      return this.isUnchanged() || this.patch() === undefined;
    } catch {
      return false;
    }
  }

  // Whether the data is certainly what the record got or gave last, without serialising any of it.
  isUnchanged() {
    if (!this.#data) return true;
    try {
      return typeof this.#data.toJSON !== 'function' && this.#snapshot.isOf(this.#data);
    } catch {
      // a getter that throws: patch() explains it
      return false;
    }
  }

  // Whether a load would make the same data, if it is what the record got or gave last.
  get isPlain() {
    return !this.#data || (typeof this.#data.toJSON !== 'function' && this.#snapshot.isPlain);
  }

  // Whether a load would make the same data of its text.
  isReproducible() {
    return this.isUnchanged() || isPlain(this.#data);
  }

  // Merges what a load has brought into the data.
  merge() {
    this.#isNew = false;
    const mine = this.patch();
    const text = native.recordMerge(this.#record, mine?.set, mine?.removed);
    if (mine) this.#snapshot.forget(mine);
    if (!this.#data) return;
    if (this.#isStale) this.#mergeAll(mine);
    else if (text !== null) this.#mergeChanges(changesOf, text);
  }

  // Merges again what an earlier load has brought, if the data did not take it.
  mergeAgain() {
    if (this.#isStale) this.#mergeAll(this.patch());
  }

  #mergeChanges(read, text) {
    this.#isStale = true;
    const instances = [];
    const { set, removed } = read(text, instances);
    const { data } = this;
    try {
      removed.forEach((key) => delete data[key]);
      fill(data, set);
    } catch (err) {
      const message = `the data object does not take what another process has stored: ${err.message}`;
      throw new SessionError(ErrorCode.DATA, message, err);
    }
    this.#snapshot.update(data, Object.keys(set), removed);
    this.#length += text.length;
    this.#isStale = false;
    this.#attach(instances);
  }

  // Gives all properties that were not changed here the values that the record has.
  #mergeAll(mine) {
    const changed = new Set(mine ? [...mine.names, ...mine.goneNames] : []);
    const read = (text, instances) => {
      const all = Object.entries(codec.decode(text, instances));
      const names = new Set(all.map(([name]) => name));
      const set = {};
      for (const [name, value] of all) if (!changed.has(name)) codec.put(set, name, value);
      return { set, removed: Object.keys(this.#data).filter((name) => !names.has(name) && !changed.has(name)) };
    };
    this.#mergeChanges(read, native.recordProjected(this.#record));
  }

  #attach(instances) {
    instances.forEach((instance) => instance.attachSession(this.#mks));
  }
}

// The changes of a text that the record gives.
function changesOf(text, instances) {
  const { set, removed } = codec.decode(text, instances);
  return { set, removed: removed.map(codec.plainName) };
}

// What JSON.stringify writes of the data object: what its toJSON gives, if it has one.
function written(data) {
  if (typeof data.toJSON !== 'function') return data;
  const given = data.toJSON('');
  if (given !== null && typeof given === 'object' && !Array.isArray(given)) return given;
  throw new SessionError(
    ErrorCode.DATA,
    `a session must be an object, but its toJSON gives ${JSON.stringify(given) ?? typeof given}`
  );
}

module.exports = { Content, SessionData, fill, written };
