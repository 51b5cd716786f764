'use strict';
// The driver alone: a Map in place of the module. Its cost for a call is the benchmark's own, which net figures exclude.

const attach = (session) => Object.defineProperty(session, 'mks', { value: session, enumerable: false });

function open(server, host) {
  const sessions = new Map();
  host.SipRequest.prototype.dispatchRequest.prepareRequest = (uacRequest, req) => {
    if (uacRequest.session) sessions.set(req.id, uacRequest.session);
  };
  const middleware = (req, res, next) => {
    if (req.source === 'application') {
      if (req.method === 'BYE') sessions.delete(req.id);
      return next();
    }
    if (req.isNewInvite()) sessions.set(req.id, attach({}));
    req.session = sessions.get(req.id);
    if (req.method === 'BYE') sessions.delete(req.id);
    next();
  };
  return { middleware, size: () => sessions.size, close: () => undefined };
}

module.exports = { driver: { title: 'the driver alone', legs: true, open } };
