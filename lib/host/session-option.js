'use strict';
// The option `session` of the calls that send or accept a request: createUAC, createUAS, createB2BUA and request of
// drachtio-srf, siprequest of classic drachtio.

const { SessionError } = require('../errors');
const { ErrorCode } = require('../native/constants');
const Session = require('../session/session');

// The session that the leg shares: undefined if the option is absent, false if the leg gets its own.
function sessionIn({ session }) {
  if (session === undefined || session === null) return undefined;
  if (session === false || session instanceof Session) return session;
  if (session instanceof Session.SessionProto) return session.mks;
  const message = '`session` must be the session of a request or a dialog, or false for one of its own';
  throw new SessionError(ErrorCode.OPTION, message);
}

// The options without `session`: a host turns all of its options into text, drachtio-srf for its debug output, classic
// drachtio for its server. The application may use its object again, so this makes a copy.
function without(options) {
  if (!('session' in options)) return options;
  const proto = Object.getPrototypeOf(options);
  if (proto === Object.prototype || proto === null) {
    const { session: _, ...rest } = options;
    return rest;
  }
  const { session: _, ...own } = Object.getOwnPropertyDescriptors(options);
  const copy = Object.create(proto, own);
  if ('session' in copy)
    Object.defineProperty(copy, 'session', { value: undefined, configurable: true, writable: true });
  return copy;
}

module.exports = { sessionIn, without };
