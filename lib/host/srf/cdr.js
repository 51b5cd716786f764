'use strict';
// session.cdr(srf): removes the session of a call whose process died. The only sign of the end of such a call is the
// call detail record that drachtio-server sends to one of the processes when the call stops.

const { EventEmitter } = require('node:events');
const debug = require('debug')('drachtio:session');
const { SessionError } = require('../../errors');
const { ErrorCode, MAX_TIMEOUT } = require('../../native/constants');
const Session = require('../../session/session');
const { tagsOf } = require('./identify');
const SrfHost = require('./index');

const STOP = 'cdr:stop';
// These reasons end no call: a challenge, which another INVITE with the same Call-ID follows; a leg that failed; a CANCEL.
const NEVER_BEGAN = /reject|cancel/i;
// ms after which the process that has the call, if it lives, has certainly got the BYE and loaded the session for it
const AFTER = 5000;

function cdr(srf, { after = AFTER } = {}) {
  const host = SrfHost.of(srf);
  if (!host) {
    const message = 'session.cdr(srf): there is no session in this application; call session({store, app: srf}) before';
    throw new SessionError(ErrorCode.OPTION, message);
  }
  if (!(Number.isInteger(after) && after >= 0 && after <= MAX_TIMEOUT)) {
    const message = `session.cdr(srf, {after}): \`after\` must be a whole number of ms up to ${MAX_TIMEOUT}, not ${after}`;
    throw new SessionError(ErrorCode.OPTION, message);
  }
  // drachtio-srf can't subscribe twice to the same record: further listeners join the first
  host.wrap('on', (original) => (event, listener) => {
    if (event !== STOP || srf.app.listenerCount(STOP) === 0) return original.call(srf, event, listener);
    return EventEmitter.prototype.on.call(srf.app, event, listener);
  });
  srf.on(STOP, (source, _time, reason, bye) => {
    if (NEVER_BEGAN.test(reason)) return;
    const tags = tagsOf(host, bye, source !== 'network');
    if (tags.callId === undefined) return;
    // Another call may have the Call-ID after the pause.
    Session.findDialog(host.engine.store, tags, (err, stopped) => {
      if (!err && !stopped) return;
      setTimeout(() => remove(host, tags, stopped?.uuid), after).unref();
    });
  });
}

// Removes the key of the dialog, if it still has that session; without `uuid`, whichever it has.
function remove(host, tags, uuid) {
  Session.findDialog(host.engine.store, tags, (err, found, id) => {
    // the application may have closed the store meanwhile
    if (err) return err.code === ErrorCode.STORE_CLOSED ? undefined : host.engine.report(err);
    if (!found || (uuid !== undefined && found.uuid !== uuid)) return undefined;
    debug('%s: the call has stopped, and its key was not removed', id);
    return host.dialogEnded(found, id);
  });
}

module.exports = cdr;
