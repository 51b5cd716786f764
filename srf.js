'use strict';
// require('drachtio-session/srf') has only types (srf.d.ts).

module.exports = {};
