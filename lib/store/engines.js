'use strict';
// The engine of each store. A native store registers its own; a JavaScript store gets one at its first use.

const { SessionError } = require('../errors');
const { ErrorCode } = require('../native/constants');
const JavaScriptEngine = require('./javascript');

const engines = new WeakMap();

function register(store, engine) {
  engines.set(store, engine);
  return engine;
}

function engineOf(store) {
  if (store === null || typeof store !== 'object') {
    throw new SessionError(ErrorCode.OPTION, `\`store\` must be a store, not ${String(store)}`);
  }
  return engines.get(store) ?? register(store, new JavaScriptEngine(store));
}

module.exports = { engineOf, register };
