'use strict';
// session(options): the middleware. Each message goes through a Message (message.js), which carries its plan out.

const debug = require('debug')('drachtio:session');
const codec = require('./codec');
const MemoryStore = require('./memory-store');
const native = require('./native');
const SessionError = require('./errors');
const SrfHost = require('./srf');
const { Engine } = require('./engine');
const { Host, idOf } = require('./host');
const Message = require('./message');
const { shareOnSend } = require('./outgoing');
const { Session } = require('./session');

const CLASSIC = new Host();
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
    const message = `session(options): \`timeout\` must be a whole number of ms from 1 to 86400000, not ${String(timeout)}`;
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  if (![undefined, 'continue', 'reject'].includes(onStoreFailure) && typeof onStoreFailure !== 'function') {
    const message = `session(options): \`onStoreFailure\` must be 'continue', 'reject' or a function, not ${String(onStoreFailure)}`;
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  return options;
}

function session(options = {}) {
  const { store = new MemoryStore(), app, resolvers = [], timeout, onStoreFailure } = checked(options);
  const engine = Engine.of(store);
  if (timeout !== undefined) native.engineSetTimeout(engine.native, timeout);
  codec.addClasses(resolvers);
  if (store instanceof MemoryStore) store.warn();

  store.generate = (req) => {
    if (req.mks) return;
    const mks = new Session({ store });
    const id = idOf(req);
    if (id) mks.set(id);
    mks.attachTo(req);
    Message.of(req)?.replace(mks);
  };

  const open = (host, req, res, next, dialogsOnly = false) => {
    const id = host.keyOf(req);
    if (!id) {
      debug('%s without a Call-ID: no session', req.method);
      return next();
    }
    const message = new Message(engine, host, req, res, id, onStoreFailure);
    if (dialogsOnly && !message.isOfDialog) return next();
    if (debug.enabled) debug('%s %s from %s, plan %d', req.method, id, req.source, message.plan);
    if (message.plan === 0) return next();
    message.begin(next);
  };
  if (!SrfHost.of(app, engine, open)) shareOnSend(app);

  return function attachSession(req, res, next) {
    const host = SrfHost.of(req.srf, engine, open);
    if (!host) return open(CLASSIC, req, res, next);
    const earlier = Message.of(req);
    if (!earlier) return open(host, req, res, next);
    // drachtio-srf gives each request once; other layers may have taken their time since it came
    if (!earlier.canceled) return next();
    debug('%s %s: canceled before it reached the handlers', req.method, earlier.id);
  };
}

module.exports = session;
