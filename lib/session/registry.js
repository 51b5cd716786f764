'use strict';
// The live sessions of one store, by the ids of their keys: those that a request or a Dialog retains, and those that were
// used recently. Requests of the same session share its object.
//
// The table refers weakly to all of them, so that the session of a request that is never answered is collected with it.
// Recently used sessions are also in a list, oldest first, which keeps them: the next request of a call finds its data
// object as it is, and nothing has to be parsed. Unless the near cache proves that it is what the store has, the store is
// asked.

const FIRST_SWEEP = 1024; // entries before the first search for collected sessions
const MAX_RECENT = 4096; // recently used sessions
const MAX_LENGTH = 4 * 1024 * 1024; // characters of their JSON text

class Registry {
  // By id, an index of #references. A Map that is filled and emptied leaves tables behind; what they refer to stays alive
  // until a full collection. A number refers to nothing.
  #indexes = new Map();
  #references = [];
  #free = [];
  #sweepAt = FIRST_SWEEP;
  // The list's links are properties of the sessions: a table would keep young entries alive, as above.
  #oldest = null;
  #newest = null;
  #recent = 0;
  #length = 0;

  get size() {
    return this.#indexes.size;
  }

  // The session that has this key, if there is one; it may have ended.
  get(id) {
    const index = this.#indexes.get(id);
    return index === undefined ? undefined : this.#references[index].deref();
  }

  // The session that has this key, unless it has ended.
  find(id) {
    const session = this.get(id);
    return session && !session.removed ? session : undefined;
  }

  add(id, session) {
    const known = this.#indexes.get(id);
    if (known !== undefined) {
      this.#references[known] = session.reference;
      return;
    }
    const index = this.#free.pop() ?? this.#references.length;
    this.#references[index] = session.reference;
    this.#indexes.set(id, index);
    if (this.size >= this.#sweepAt) this.#sweep();
  }

  // Deletes the entry of a key, if it leads to this session.
  delete(id, session) {
    const index = this.#indexes.get(id);
    if (index !== undefined && this.#references[index] === session.reference) this.#deleteAt(id, index);
  }

  // Keeps a session that nothing retains; `length` is that of its JSON text. While it is kept, `session.older` is not
  // undefined.
  keep(session, length) {
    if (length > MAX_LENGTH / 8) return session.unlist();
    session.keptLength = length;
    session.older = this.#newest;
    session.newer = null;
    if (this.#newest) this.#newest.newer = session;
    else this.#oldest = session;
    this.#newest = session;
    this.#length += length;
    this.#recent++;
    while (this.#recent > MAX_RECENT || this.#length > MAX_LENGTH) {
      const oldest = this.#oldest;
      this.drop(oldest);
      oldest.unlist();
    }
  }

  // Drops a session from the recently used ones, if it is among them. The entries of its keys stay.
  drop(session) {
    const { newer, older } = session;
    if (older === undefined) return;
    if (newer) newer.older = older;
    else this.#newest = older;
    if (older) older.newer = newer;
    else this.#oldest = newer;
    session.newer = session.older = undefined;
    this.#length -= session.keptLength;
    this.#recent--;
  }

  #deleteAt(id, index) {
    this.#indexes.delete(id);
    this.#references[index] = undefined;
    this.#free.push(index);
  }

  #sweep() {
    for (const [id, index] of this.#indexes) {
      if (!this.#references[index].deref()) this.#deleteAt(id, index);
    }
    this.#sweepAt = Math.max(FIRST_SWEEP, this.size * 2);
  }
}

module.exports = Registry;
