'use strict';
// SessionError, the one error class: each has a stable code. The native engine defines most codes (src/error.rs); those
// here are JavaScript's own.

class SessionError extends Error {
  constructor(code, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
SessionError.prototype.name = 'SessionError';

const OwnCode = Object.freeze({
  // data can't be written as JSON, or read from it
  DATA: 'ERR_SESSION_DATA',
  // no native binary
  NATIVE: 'ERR_SESSION_NATIVE',
  // the host refused a response that was delayed until the session was saved
  RESPONSE: 'ERR_SESSION_RESPONSE'
});

module.exports = { OwnCode, SessionError };
