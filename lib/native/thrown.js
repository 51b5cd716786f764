'use strict';
// Makes a SessionError of an error that a native function threw: Node-API gives it the code, but not the class.

const { SessionError } = require('../errors');
const { ErrorCode } = require('./constants');

// Node-API's code for a panic. Its other codes are those of arguments that JavaScript did not check.
const PANIC = 'GenericFailure';

function thrown(err) {
  if (err instanceof SessionError) return err;
  if (err.code?.startsWith('ERR_SESSION_')) return new SessionError(err.code, err.message);
  if (err.code !== PANIC) return new SessionError(ErrorCode.ARGUMENT, err.message, err);
  const message = `drachtio-session itself has failed, please report it: ${err.message}`;
  return new SessionError(ErrorCode.STORE, message, err);
}

module.exports = thrown;
