'use strict';
// The sessions that were used last and that no request holds any more. Each is kept for a while with its data object, so
// that the next message of its call finds it as it is, and nothing has to be made of its text. Where the near cache does not
// prove that it is still what is stored, the store is asked.
//
// A list whose links are the sessions' own: tables that are filled and emptied keep young entries alive.

const MOST = 4096; // sessions
const MOST_TEXT = 4 * 1024 * 1024; // characters of JSON text

class Recent {
  #oldest = null;
  #newest = null;
  #text = 0;
  size = 0;

  // Keeps a session that no request holds; `text` is how long its JSON text is. `session.older` is defined while it is here.
  add(session, text) {
    if (text > MOST_TEXT / 8) return session.unlist();
    session.weight = text;
    session.older = this.#newest;
    session.newer = null;
    if (this.#newest) this.#newest.newer = session;
    else this.#oldest = session;
    this.#newest = session;
    this.#text += text;
    this.size++;
    while (this.size > MOST || this.#text > MOST_TEXT) {
      const oldest = this.#oldest;
      this.remove(oldest);
      oldest.unlist();
    }
  }

  // Lets go of a session, if it is here.
  remove(session) {
    const { newer, older } = session;
    if (older === undefined) return;
    if (newer) newer.older = older;
    else this.#newest = older;
    if (older) older.newer = newer;
    else this.#oldest = newer;
    session.newer = session.older = undefined;
    this.#text -= session.weight;
    this.size--;
  }
}

module.exports = Recent;
