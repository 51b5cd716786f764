'use strict';
// require('drachtio-session/srf') is there for its types, srf.d.ts; at run time there is nothing to do.

module.exports = {};
