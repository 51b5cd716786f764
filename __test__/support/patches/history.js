'use strict';
// A random history of one session: a writer that does everything with its data object, and a second writer that sets other
// properties. After each operation the store must have what the data object came to when the last save succeeded.

const assert = require('node:assert/strict');
const session = require('../../..');
const codec = require('../../../lib/session/codec');
const { message } = require('../message');
const { MapStore } = require('./map-store');
const { NAMES, RandomData, THEIRS, ownToJSON, put } = require('./random-data');
const { within } = require('../waiting');

const { MemoryStore, Session, SessionError } = session;

const OPERATIONS = 25;
const APPLICATION = new Error("the application's own");

// A JSON value as text that does not depend on the order of properties.
function ordered(value) {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(ordered)}]`;
  const names = Object.keys(value).toSorted();
  return `{${names.map((name) => `${JSON.stringify(name)}:${ordered(value[name])}`)}}`;
}

// The properties that JSON writes of an object, by name, those of one writer.
function written(object, isTheirs = false) {
  const entries = Object.entries(JSON.parse(codec.encode(object)));
  return new Map(
    entries.filter(([name]) => THEIRS.includes(name) === isTheirs).map(([name, value]) => [name, ordered(value)])
  );
}

const sorted = (properties) => [...properties].toSorted(([a], [b]) => (a < b ? -1 : 1));

class History {
  constructor(seed) {
    this.seed = seed;
    this.data = new RandomData(seed);
    this.isMemory = this.data.below(2) === 0;
    this.log = [];
    this.store = this.isMemory ? new MemoryStore() : new MapStore();
    this.otherStore = this.isMemory ? this.store : new MapStore(this.store.entries);
    this.serve = session({ store: this.store });
    this.mks = new Session({ store: this.store });
    this.isLive = false;
    this.other = undefined;
    this.keys = ['k'];
    this.mks.set('k');
    while (this.data.below(2)) this.addKey();
    // what must be stored: of the writer, unless that is uncertain, and of the second one
    this.own = undefined;
    this.theirs = new Map();
    this.isStored = false;
    // whether the second writer has written since this one last loaded or saved; undefined if that is uncertain
    this.isBehind = false;
    this.synced = [];
    // how often each callback came
    this.callbacks = [];
  }

  async run() {
    for (let i = 0; i < OPERATIONS; i++) {
      await this.pickOperation().call(this);
      await this.check();
    }
    await this.saves();
    await this.check();
    await new Promise(setImmediate);
    this.callbacks.forEach((count, i) => assert.equal(count, 1, `callback ${i} came ${count} times`));
  }

  pickOperation() {
    const {
      set,
      delete: remove,
      deepen,
      replace,
      save,
      saves,
      update,
      addKey,
      removeKey,
      second,
      request,
      spoil
    } = this;
    const often = [set, set, set, set, remove, deepen, save, save, save, update, update, second, second];
    return this.data.pick([...often, replace, saves, addKey, removeKey, request, spoil, this.setToJSON]);
  }

  toString() {
    return `SEED=${this.seed} PATCHES=1 (${this.isMemory ? 'memory' : 'JavaScript'}): ${JSON.stringify(this.log)}`;
  }

  // Calls a method with a callback; gives [err, value].
  async call(object, method, ...args) {
    const at = this.callbacks.push(0) - 1;
    const came = new Promise((resolve) => {
      object[method](...args, (err, value) => {
        this.callbacks[at]++;
        resolve([err ?? null, value]);
      });
    });
    const [err, value] = await within(came, `${method}() to call back`);
    const isKnown =
      err === null || err === APPLICATION || (err instanceof SessionError && err.code.startsWith('ERR_SESSION_'));
    assert.ok(isKnown, `${method}() fails with ${err?.stack}`);
    return [err, value];
  }

  async check() {
    if (!this.isStored) return;
    const found = await this.stored();
    assert.ok(found, 'the session is stored');
    assert.deepEqual(sorted(written(found, true)), sorted(this.theirs), 'properties of the second writer');
    if (this.own) assert.deepEqual(sorted(written(found)), sorted(this.own), 'properties of the writer');
  }

  async stored() {
    if (this.isMemory) return (await this.store.get('mks:k'))?.session;
    const found = this.store.data(this.mks);
    return found && codec.decode(JSON.stringify(found));
  }

  set() {
    const [name, kind, value] = this.data.property();
    this.log.push(['set', name, kind]);
    put(this.mks.session, name, value);
  }

  setToJSON() {
    const value = this.data.pick([ownToJSON, 5]);
    this.log.push(['toJSON', String(value).slice(0, 12)]);
    put(this.mks.session, 'toJSON', value);
  }

  delete() {
    const name = this.data.pick([...NAMES, 'toJSON']);
    this.log.push(['delete', name]);
    delete this.mks.session[name];
  }

  deepen() {
    const { session: data } = this.mks;
    for (const name of Object.keys(data)) {
      const value = data[name];
      if (value === null || typeof value !== 'object' || Object.isFrozen(value)) continue;
      this.log.push(['deepen', name]);
      value.extra = this.data.below(3);
    }
  }

  // The application keeps what the second writer has set.
  replace() {
    const content = {};
    const names = Object.keys(this.mks.session).filter((name) => THEIRS.includes(name));
    names.forEach((name) => put(content, name, this.mks.session[name]));
    this.log.push(['replace']);
    for (let i = this.data.below(4); i > 0; i--) {
      const [name, kind, value] = this.data.property();
      this.log.push(['with', name, kind]);
      put(content, name, value);
    }
    (this.req ?? this.mks).session = content;
  }

  // Now and then lets a write of the JavaScript store fail.
  arm() {
    if (this.isMemory || this.data.below(5) > 0) return false;
    this.store.failAfter = this.data.below(2);
    return true;
  }

  saved(own, ifUnchanged) {
    Object.assign(this, { own, isStored: true });
    // a plain save does not bring what others have written: whether that is a conflict later depends on the store
    if (ifUnchanged || this.isBehind === false) this.caughtUp();
    else this.isBehind = undefined;
    assert.equal(this.mks.isDirty(), false, 'nothing is left to save');
  }

  // A write of several entries has failed: the first of them may be stored, and the writer does not know.
  mayBeDone() {
    this.own = undefined;
    this.isBehind = undefined;
  }

  // The writer knows what the second one has stored.
  caughtUp() {
    this.isBehind = false;
    this.synced = sorted(this.theirs);
  }

  // Whether it succeeds.
  async save() {
    const isArmed = this.isStored && this.arm();
    const ifUnchanged = this.data.below(3) === 0;
    const own = written(this.mks.session);
    this.log.push(['save', ...(ifUnchanged ? ['ifUnchanged'] : []), ...(isArmed ? ['fails'] : [])]);
    const [err] = await this.call(this.mks, 'save', { ifUnchanged });
    this.store.failAfter = undefined;
    if (!err) {
      // a JavaScript store has no versions: what is as it was before has not changed
      if (ifUnchanged && this.isBehind) assert.deepEqual(sorted(this.theirs), this.synced, 'a conflict');
      this.saved(own, ifUnchanged);
      return true;
    }
    this.log.push([err.code]);
    if (err.code === 'ERR_SESSION_CONFLICT') {
      assert.ok(ifUnchanged && this.isBehind !== false, 'no false conflict');
      assert.deepEqual(sorted(written(err.newer, true)), sorted(this.theirs), 'what is newer');
      assert.deepEqual(sorted(written(this.mks.session)), sorted(own), 'the change is still in the data object');
      this.caughtUp();
      return false;
    }
    assert.ok(isArmed, err);
    this.mayBeDone();
    return false;
  }

  // Saves that do not wait for each other.
  async saves() {
    this.log.push(['saves']);
    const first = this.call(this.mks, 'save');
    this.set();
    const own = written(this.mks.session);
    const outcomes = await Promise.all([first, this.call(this.mks, 'save')]);
    outcomes.forEach(([err]) => assert.equal(err, null));
    this.saved(own, false);
  }

  // Data that can't be saved, and then can.
  async spoil() {
    this.log.push(['spoil']);
    this.mks.session.spoilt = 1n;
    const [err] = await this.call(this.mks, 'save');
    assert.equal(err?.code, 'ERR_SESSION_DATA');
    delete this.mks.session.spoilt;
  }

  addKey() {
    const id = `k${this.keys.length}-${this.log.length}`;
    this.log.push(['add key', id]);
    this.keys.push(id);
    this.mks.set(id);
  }

  async removeKey() {
    if (this.keys.length < 2) return;
    const id = this.keys.pop();
    this.log.push(['remove key', id]);
    const [err] = await this.call(this.mks, 'del', id);
    assert.equal(err, null);
    this.own = undefined;
    if (this.isBehind) this.isBehind = undefined;
  }

  // The second writer, in another process or with an object of its own.
  async second() {
    if (!this.isStored) return;
    if (!this.other) {
      // a live session would be the same object
      if (this.isMemory && this.isLive) return;
      [, this.other] = await this.call(Session, 'loadFromStorage', { store: this.otherStore }, 'k');
      assert.notEqual(this.other, this.mks);
    }
    const name = this.data.pick(THEIRS);
    const isRemoval = this.data.below(4) === 0;
    this.log.push(['second writer', isRemoval ? 'removes' : 'sets', name]);
    if (isRemoval && !this.theirs.has(name)) return;
    const change = (data) => void (isRemoval ? delete data[name] : (data[name] = this.log.length));
    const isUpdate = this.data.below(3) === 0;
    if (!isUpdate) change(this.other.session);
    const [err] = await (isUpdate ? this.call(this.other, 'update', change) : this.call(this.other, 'save'));
    assert.equal(err, null);
    if (isRemoval) this.theirs.delete(name);
    else this.theirs.set(name, String(this.log.length));
    this.isBehind = true;
  }

  // A request of the session, which is not answered: it gets the live session, and merges what is stored into that.
  async request() {
    if (!this.isLive && !(await this.save())) return;
    if (!this.own) return;
    this.log.push(['request']);
    const { req, res } = message('INFO', 'k', true);
    const own = written(this.mks.session);
    const handled = new Promise((resolve) => {
      this.serve(req, res, resolve);
    });
    await within(handled, 'the handler');
    if (this.isLive) assert.equal(req.mks, this.mks, 'the live session');
    assert.deepEqual(sorted(written(req.session)), sorted(own), 'the data of the request');
    if (typeof req.session.toJSON !== 'function') {
      assert.deepEqual(sorted(written(req.session, true)), sorted(this.theirs), 'what the second writer has set');
    }
    Object.assign(this, { req, mks: req.mks, isLive: true });
    this.caughtUp();
  }

  // Some updates in one turn, which are stored together.
  async update() {
    const isArmed = this.isStored && this.arm();
    const own = written(this.mks.session);
    this.log.push(['updates', ...(isArmed ? ['fails'] : [])]);
    const changes = Array.from({ length: 1 + this.data.below(3) }, (_, i) => this.change(own, i));
    const started = changes.map(({ change }) => this.call(this.mks, 'update', change));
    const outcomes = await Promise.all(started);
    this.store.failAfter = undefined;
    if (isArmed && outcomes.some(([err]) => err && err !== APPLICATION)) {
      this.mayBeDone();
      return;
    }
    outcomes.forEach(([err, value], i) => {
      assert.equal(err, changes[i].throws ? APPLICATION : null);
      if (!err) assert.equal(value, i);
    });
    Object.assign(this, { own, isStored: true });
    this.caughtUp();
    if (typeof this.mks.session.toJSON === 'function') return;
    assert.deepEqual(sorted(written(this.mks.session)), sorted(own), 'the data after update()');
    assert.equal(this.mks.isDirty(), false, 'nothing is left to save after update()');
  }

  // A random change for update(), and what it does to what is stored.
  change(own, i) {
    const [name, kind, value] = this.data.property();
    const what = this.data.pick(['nothing', 'throws', 'sets', 'sets', 'deletes', 'sets toJSON']);
    this.log.push(['update', what, name, kind]);
    if (what === 'sets' || what === 'deletes') own.delete(codec.escapedName(name));
    if (what === 'sets')
      written(Object.fromEntries([[name, value]])).forEach((text, escaped) => own.set(escaped, text));
    else if (what === 'sets toJSON') own.set('seen', own.has('seen') ? '"twice"' : '"once"').delete('toJSON');
    const change = (data) => {
      if (what === 'sets' || what === 'throws') put(data, name, value);
      if (what === 'throws') throw APPLICATION;
      if (what === 'deletes') delete data[name];
      if (what === 'sets toJSON') put(data, 'toJSON', ownToJSON);
      return i;
    };
    return { change, throws: what === 'throws' };
  }
}

module.exports = { History };
