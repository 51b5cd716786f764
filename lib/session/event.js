'use strict';
// Event: an event of a target within a session, which applications emit.

const { SessionError } = require('../errors');
const { ErrorCode } = require('../native/constants');
const Session = require('./session');

class Event {
  // new Event({target, mks, ...anything}), or the older new Event(target, mks, reason)
  constructor(target, mks, reason) {
    const given = mks instanceof Session ? { target, mks, reason } : target;
    if (!given || !given.target) throw new SessionError(ErrorCode.ARGUMENT, 'an Event needs a target');
    if (!(given.mks instanceof Session)) {
      throw new SessionError(ErrorCode.ARGUMENT, 'an Event needs a Session as mks');
    }
    const { session, ...rest } = given;
    if (rest.reason === undefined) delete rest.reason;
    Object.assign(this, rest);
    if (session !== undefined) this.session = session;
  }

  get session() {
    return this.mks.session;
  }

  set session(content) {
    this.mks.session = content;
  }

  // Emits itself on the application; gives what app.emit gave.
  emit(app, name, callback) {
    const hasListeners = app.emit(name, this);
    if (typeof callback === 'function') callback();
    return hasListeners;
  }
}

module.exports = Event;
