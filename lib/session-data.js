'use strict';
// The data of a session: the object with the application's properties, and besides them `mks` and save(), not enumerable;
// and Content, which makes it when somebody looks, and sees whether it has changed since the record knows of it.

const codec = require('./codec');
const native = require('./native');
const SessionError = require('./errors');
const { isSame, shadowOf } = require('./shadow');

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

// Gives the data the properties of another object.
function fill(data, content) {
  Object.keys(content).forEach((key) => codec.put(data, key, content[key]));
}

class Content {
  #record;
  #mks;
  // whether nothing is in the record
  #isNew;
  #data;
  // the data when the record got or gave it last, if it is plain; otherwise its text
  #shadow;
  #given;
  // how long its text was
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
    this.gave(text);
    this.#attached(instances);
    return this.#data;
  }

  // Puts other properties in the place of those that there are.
  replace(content) {
    if (content === null || typeof content !== 'object' || Array.isArray(content)) {
      throw new SessionError('ERR_SESSION_ARGUMENT', `a session is an object, not ${JSON.stringify(content)}`);
    }
    const { data } = this;
    if (content === data) return;
    const copy = { ...content };
    Object.keys(data).forEach((key) => delete data[key]);
    fill(data, copy);
  }

  // Its JSON text; nothing while nobody has read it.
  text() {
    if (!this.#data) return undefined;
    const text = codec.encode(this.#data);
    if (text.startsWith('{')) return text;
    throw new SessionError('ERR_SESSION_DATA', `a session is an object; its toJSON gives ${text}`);
  }

  // The record got or gave this text.
  gave(text) {
    if (text === undefined) return;
    this.#shadow = shadowOf(this.#data);
    this.#given = this.#shadow ? undefined : text;
    this.length = text.length;
  }

  // Whether it is certain without its text that it is what the record got or gave last.
  isUntouched() {
    return !this.#data || (this.#shadow !== undefined && isSame(this.#data, this.#shadow));
  }

  // Whether this is the text that the record got or gave last.
  isGiven(text) {
    return text === this.#given;
  }

  // Whether it would be the same if it were loaded from its text.
  comesBack() {
    return this.isUntouched() || shadowOf(this.#data) !== undefined;
  }

  // Brings what a load has found, and the record has not merged yet, into it.
  merge() {
    this.#isNew = false;
    const patch = native.recordMerge(this.#record, this.text());
    if (patch === null) return;
    const instances = [];
    const { set, removed } = codec.decode(patch, instances);
    const { data } = this;
    removed.forEach((key) => delete data[key]);
    fill(data, set);
    this.#attached(instances);
  }

  #attached(instances) {
    instances.forEach((instance) => instance.attachSession(this.#mks));
  }
}

module.exports = { Content, SessionData, fill };
