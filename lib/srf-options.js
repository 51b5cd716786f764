'use strict';
// The option `session` of createUAC, createB2BUA and request.

const SessionError = require('./errors');
const { Session } = require('./session');

// The session that was asked for: undefined if that was left open, false for one of its own.
function sessionIn({ session }) {
  if (session === undefined || session === null) return undefined;
  if (session === false || session instanceof Session) return session;
  if (session instanceof Session.SessionProto) return session.mks;
  const message = '`session` must be the session of a request or a dialog, or false for one of its own';
  throw new SessionError('ERR_SESSION_OPTION', message);
}

// The options as drachtio-srf may see them: it turns all of them into text for its debug output.
function without(options) {
  if (!('session' in options)) return options;
  const { session: _, ...rest } = options;
  return rest;
}

module.exports = { sessionIn, without };
