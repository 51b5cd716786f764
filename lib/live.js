'use strict';
// The live sessions, by the ids of their keys: those that a request holds, and those that were used a moment ago. Weak,
// so that the session of a request that is never answered is collected with it.

const FIRST_SWEEP = 1024; // entries before the first look for those that were never struck out

class Live {
  // by id, where in #references: a Map leaves tables behind that keep all they refer to alive until a full collection
  #places = new Map();
  #references = [];
  #free = [];
  #sweepAt = FIRST_SWEEP;

  get size() {
    return this.#places.size;
  }

  // The session that has this key, if there is one; it may have ended.
  get(id) {
    const place = this.#places.get(id);
    return place === undefined ? undefined : this.#references[place].deref();
  }

  add(id, session) {
    const known = this.#places.get(id);
    if (known !== undefined) {
      this.#references[known] = session.reference;
      return;
    }
    const place = this.#free.pop() ?? this.#references.length;
    this.#references[place] = session.reference;
    this.#places.set(id, place);
    if (this.size >= this.#sweepAt) this.#sweep();
  }

  // Nobody gets that session any more by this key.
  strike(id, session) {
    const place = this.#places.get(id);
    if (place !== undefined && this.#references[place] === session.reference) this.#remove(id, place);
  }

  #remove(id, place) {
    this.#places.delete(id);
    this.#references[place] = undefined;
    this.#free.push(place);
  }

  #sweep() {
    for (const [id, place] of this.#places) {
      if (!this.#references[place].deref()) this.#remove(id, place);
    }
    this.#sweepAt = Math.max(FIRST_SWEEP, this.size * 2);
  }
}

module.exports = Live;
