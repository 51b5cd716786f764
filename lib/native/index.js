'use strict';
// Loads the native binary. Where there is none, the error says how to get one.

const { OwnCode, SessionError } = require('../errors');

try {
  module.exports = require('../../native.js');
} catch (err) {
  throw new SessionError(
    OwnCode.NATIVE,
    `drachtio-session has no native binary for ${process.platform}-${process.arch}. If the package was installed with ` +
      '--no-optional or from a lock file of another platform, install it again without; to build the binary from ' +
      'source, run `npm run build` in the package (this needs Rust).',
    err
  );
}
