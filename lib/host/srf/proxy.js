'use strict';
// Requests that the application proxies (srf.proxyRequest, req.proxy).

const Transaction = require('../../transaction/transaction');

// where the agent of a connection is marked as hooked
const HOOKED = Symbol('drachtio-session hook');

// The application gets no final response of a proxied request: its transaction ends with the result of the proxying, after the
// application has got that. If it could not be proxied, the application answers it.
function hookProxy(agent) {
  if (agent[HOOKED] || typeof agent.proxy !== 'function') return;
  const { proxy } = agent;
  Object.defineProperty(agent, HOOKED, { value: true });
  agent.proxy = function proxyWithSession(req, options, callback) {
    const followed = (token, ...rest) => {
      try {
        return callback(token, ...rest);
      } finally {
        if (token[1] === 'done') setImmediate(() => Transaction.of(req)?.proxied());
      }
    };
    return proxy.call(this, req, options, followed);
  };
}

module.exports = hookProxy;
