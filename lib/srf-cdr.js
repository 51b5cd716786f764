'use strict';
// session.cdr(srf): removes the session of a call whose process died. The only sign of the end of such a call is the
// call detail record that drachtio-server gives to some process when it stops.

const { EventEmitter } = require('node:events');
const debug = require('debug')('drachtio:session');
const SessionError = require('./errors');
const SrfHost = require('./srf');
const { header, idOf } = require('./host');
const { Session } = require('./session');
const { fromLocal, fromRemote, tagOf } = require('./srf-keys');

const STOP = 'cdr:stop';
// What ended no call: a challenge that is answered by another INVITE of the same Call-ID, a leg that failed, a CANCEL.
const NEVER_BEGAN = /reject|cancel/i;
// ms until the process that has the call, if there is one, has surely got the BYE and loaded the session for it
const AFTER = 5000;

function cdr(srf, { after = AFTER } = {}) {
  const host = SrfHost.of(srf);
  if (!host) {
    const message = 'session.cdr(srf): there is no session in this application; call session({store, app: srf}) before';
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  if (!(Number.isInteger(after) && after >= 0 && after <= 86400000)) {
    const message = `session.cdr(srf, {after}): \`after\` must be a whole number of ms up to 86400000, not ${after}`;
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  // drachtio-srf can't register twice for the same record: further listeners join the first
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

// What may be the key of the dialog that a BYE has ended, the most exact first.
function idsOf(source, bye) {
  const callId = idOf({ get: (name) => header(bye, name) });
  const [local, remote] = source === 'network' ? ['to', 'from'] : ['from', 'to'];
  return [fromRemote(callId, tagOf(bye, remote)), fromLocal(callId, tagOf(bye, local)), callId];
}

function remove(host, [id, ...others]) {
  const { engine } = host;
  // a call that goes on here under the bare Call-ID is another one
  if (others.length === 0 && engine.find(id)) return;
  Session.find(engine.store, id, (err, found) => {
    // a store that was closed meanwhile has nobody who waits for it
    if (err) return err.code === 'ERR_SESSION_STORE_CLOSED' ? undefined : engine.report(err);
    if (found) {
      debug('%s: the call has stopped, and nobody has removed its key', id);
      host.ended(found, id);
    } else if (others.length > 0) remove(host, others);
  });
}

module.exports = cdr;
