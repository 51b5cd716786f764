'use strict';
// Store, the base class of stores. Applications add get(sid, cb), set(sid, value, cb) and destroy(sid, cb) to theirs; the
// middleware adds generate(req).

const { EventEmitter } = require('node:events');
const callbackOrPromise = require('../callback-or-promise');
const { detach } = require('../session/attach');
const Session = require('../session/session');

class Store extends EventEmitter {
  // Gives an object with a session, such as a request, a new session in its place.
  regenerate(holder, callback) {
    return callbackOrPromise(callback, (done) => {
      const generate = (err) => {
        if (err) return done(err);
        detach(holder);
        this.generate(holder);
        done(null);
      };
      if (holder.mks) holder.mks.destroy(generate);
      else this.destroy(holder.sessionID, generate);
    });
  }

  // The session that has the key `sid`: callback(err, mks), with null if there is none.
  load(sid, callback) {
    return Session.loadFromStorage({ store: this }, sid, callback);
  }
}

module.exports = Store;
