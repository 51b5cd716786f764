'use strict';
// Loads the native binary, and says what to do where there is none.

const SessionError = require('./errors');

try {
  module.exports = require('../native.js');
} catch (err) {
  throw new SessionError(
    'ERR_SESSION_NATIVE',
    `drachtio-session has no native binary for ${process.platform}-${process.arch}. If the package was installed with ` +
      '--no-optional or from a lock file of another platform, install it again without; to build the binary from ' +
      'source, run `npm run build` in the package (Rust is needed).',
    err
  );
}
