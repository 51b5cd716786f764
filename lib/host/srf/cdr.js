'use strict';
// session.cdr(srf): removes the session of a call whose process died. The only sign of the end of such a call is the
// call detail record that drachtio-server sends to one of the processes when the call stops.

const { EventEmitter } = require('node:events');
const debug = require('debug')('drachtio:session');
const { SessionError } = require('../../errors');
const { ErrorCode, MAX_TIMEOUT } = require('../../native/constants');
const Session = require('../../session/session');
const { header, idOf } = require('../request');
const SrfHost = require('./index');
const { fromLocal, fromRemote, tagOf } = require('./keys');

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
    const ids = idsOf(source, bye);
    setTimeout(() => remove(host, ids), after).unref();
  });
}

// The possible keys of the dialog that a BYE has ended, the most exact first.
function idsOf(source, bye) {
  const callId = idOf({ get: (name) => header(bye, name) });
  const [local, remote] = source === 'network' ? ['to', 'from'] : ['from', 'to'];
  return [fromRemote(callId, tagOf(bye, remote)), fromLocal(callId, tagOf(bye, local)), callId];
}

function remove(host, [id, ...others]) {
  const { engine } = host;
  // a live session under the bare Call-ID is that of another call
  if (others.length === 0 && engine.sessions.find(id)) return;
  Session.find(engine.store, id, (err, found) => {
    // the application may have closed the store meanwhile
    if (err) return err.code === ErrorCode.STORE_CLOSED ? undefined : engine.report(err);
    if (found) {
      debug('%s: the call has stopped, and its key was not removed', id);
      host.dialogEnded(found, id);
    } else if (others.length > 0) remove(host, others);
  });
}

module.exports = cdr;
