'use strict';
// session(options): the middleware. Each message goes through a Message (message.js), which carries its plan out.

const debug = require('debug')('drachtio:session');
const codec = require('./codec');
const MemoryStore = require('./memory-store');
const Message = require('./message');
const SessionError = require('./errors');
const { Engine } = require('./engine');
const { idOf } = require('./host');
const { shareOnSend } = require('./outgoing');
const { Session } = require('./session');

const OPTIONS = ['store', 'app', 'resolvers', 'timeout', 'onStoreFailure'];

function checked(options) {
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw new SessionError('ERR_SESSION_OPTION', `session(options): options must be an object, not ${String(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown) {
    const message = `session(options): there is no option \`${unknown}\`; the options are ${OPTIONS.join(', ')}`;
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  const { resolvers, timeout, onStoreFailure } = options;
  if (resolvers !== undefined && !Array.isArray(resolvers)) {
    throw new SessionError('ERR_SESSION_OPTION', 'session(options): `resolvers` must be an array of classes');
  }
  if (timeout !== undefined && !(Number.isInteger(timeout) && timeout > 0 && timeout <= 86400000)) {
    const message = `session(options): \`timeout\` must be a whole number of ms from 1 to 86400000, not ${timeout}`;
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  if (![undefined, 'continue', 'reject'].includes(onStoreFailure) && typeof onStoreFailure !== 'function') {
    const message = `session(options): \`onStoreFailure\` must be 'continue', 'reject' or a function, not ${onStoreFailure}`;
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  return options;
}

function session(options = {}) {
  const { store = new MemoryStore(), app, resolvers = [], timeout, onStoreFailure } = checked(options);
  const engine = Engine.of(store);
  if (timeout !== undefined) engine.native.setTimeout(timeout);
  codec.addClasses(resolvers);
  if (store instanceof MemoryStore) store.warn();
  shareOnSend(app);

  store.generate = (req) => {
    if (req.mks) return;
    const mks = new Session({ store });
    const id = idOf(req);
    if (id) mks.set(id);
    mks.attachTo(req);
    Message.of(req)?.replace(mks);
  };

  return function attachSession(req, res, next) {
    const id = idOf(req);
    if (!id) {
      debug('%s without a Call-ID: no session', req.method);
      return next();
    }
    const message = new Message(engine, req, res, id, onStoreFailure);
    debug('%s %s from %s, plan %d', req.method, id, req.source, message.plan);
    if (message.plan === 0) return next();
    if (req.sessionID === undefined) req.sessionID = id;
    req.sessionStore = store;
    req.resolvers = codec.resolvers;
    message.begin(next);
  };
}

module.exports = session;
