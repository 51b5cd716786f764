'use strict';
// The one error class, with a stable code. Codes of the native engine are in src/error.rs; three are JavaScript's own:
// ERR_SESSION_DATA (a session's data can't be turned into JSON, or back), ERR_SESSION_RESPONSE (the host refused a response
// that had waited for the store) and ERR_SESSION_NATIVE (no native binary).

class SessionError extends Error {
  constructor(code, message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  // an error thrown by the native engine, which has the code but not the class
  static from(err) {
    if (err instanceof SessionError) return err;
    if (err.code?.startsWith('ERR_SESSION_')) return new SessionError(err.code, err.message);
    // Node-API's words for a panic; its other codes are those of arguments that were not checked before
    if (err.code !== 'GenericFailure') return new SessionError('ERR_SESSION_ARGUMENT', err.message, err);
    const message = `drachtio-session itself has failed, please report it: ${err.message}`;
    return new SessionError('ERR_SESSION_STORE', message, err);
  }
}
SessionError.prototype.name = 'SessionError';

module.exports = SessionError;
