'use strict';
// The data of a session. SessionData is the data object: the application's properties and, not enumerable, `mks`, save() and
// update(). Content makes it at its first use, and tells whether it has changed since the record got or gave its text.

const { SessionError } = require('../errors');
const native = require('../native');
const { ErrorCode } = require('../native/constants');
const codec = require('./codec');
const { isSame, snapshotOf } = require('./snapshot');

const EMPTY = '{}';

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
  // the data as the record got or gave it last: a snapshot if it is plain, otherwise the text
  #snapshot;
  #recordedText;
  // length of that text
  length = 0;

  constructor(record, mks, isNew) {
    this.#record = record;
    this.#mks = mks;
    this.#isNew = isNew;
  }

  get data() {
    if (this.#data) return this.#data;
    const text = this.#isNew ? EMPTY : native.recordView(this.#record);
    const instances = [];
    this.#data = new SessionData(this.#mks);
    if (!this.#isNew) fill(this.#data, codec.decode(text, instances));
    this.recorded(text);
    this.#attach(instances);
    return this.#data;
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

  // The JSON text of the data; undefined until it is read.
  text() {
    if (!this.#data) return undefined;
    const text = codec.encode(this.#data);
    if (text.startsWith('{')) return text;
    throw new SessionError(ErrorCode.DATA, `a session must be an object, but its toJSON gives ${text}`);
  }

  // The record got or gave this text.
  recorded(text) {
    if (text === undefined) return;
    this.#snapshot = snapshotOf(this.#data);
    this.#recordedText = this.#snapshot ? undefined : text;
    this.length = text.length;
  }

  // Whether the data is certainly what the record got or gave last, without writing its text.
  isUnchanged() {
    return !this.#data || (this.#snapshot !== undefined && isSame(this.#data, this.#snapshot));
  }

  // Whether this is the text that the record got or gave last.
  isRecorded(text) {
    return text === this.#recordedText;
  }

  // Whether a load would make the same data of its text.
  isReproducible() {
    return this.isUnchanged() || snapshotOf(this.#data) !== undefined;
  }

  // Merges what a load has brought into the data.
  merge() {
    this.#isNew = false;
    const patch = native.recordMerge(this.#record, this.text());
    if (patch === null) return;
    const instances = [];
    const { set, removed } = codec.decode(patch, instances);
    const { data } = this;
    removed.forEach((key) => delete data[key]);
    fill(data, set);
    this.#attach(instances);
  }

  #attach(instances) {
    instances.forEach((instance) => instance.attachSession(this.#mks));
  }
}

module.exports = { Content, SessionData, fill };
