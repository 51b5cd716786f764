'use strict';
// The option `session` of createUAC, createB2BUA and request.

const { SessionError } = require('../../errors');
const { ErrorCode } = require('../../native/constants');
const Session = require('../../session/session');

// The session that the leg shares: undefined if the option is absent, false if the leg gets its own.
function sessionIn({ session }) {
  if (session === undefined || session === null) return undefined;
  if (session === false || session instanceof Session) return session;
  if (session instanceof Session.SessionProto) return session.mks;
  const message = '`session` must be the session of a request or a dialog, or false for one of its own';
  throw new SessionError(ErrorCode.OPTION, message);
}

// The options without `session`: drachtio-srf turns all of its options into text for its debug output.
function without(options) {
  if (!('session' in options)) return options;
  const { session: _, ...rest } = options;
  return rest;
}

module.exports = { sessionIn, without };
