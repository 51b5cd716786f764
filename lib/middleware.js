'use strict';
// session(options): the middleware. Each message gets a Transaction (transaction/transaction.js), which carries its plan
// out.

const debug = require('debug')('drachtio:session');
const { SessionError } = require('./errors');
const { classicHost, shareOnSend } = require('./host/classic');
const { idOf, incomplete } = require('./host/request');
const SrfHost = require('./host/srf');
const { ErrorCode, MAX_TIMEOUT } = require('./native/constants');
const { holderOf } = require('./session/attach');
const codec = require('./session/codec');
const Session = require('./session/session');
const { engineOf } = require('./store/engines');
const MemoryStore = require('./store/memory');
const Transaction = require('./transaction/transaction');

const OPTIONS = ['store', 'app', 'resolvers', 'timeout', 'onStoreFailure'];

const invalid = (message) => new SessionError(ErrorCode.OPTION, `session(options): ${message}`);

function checked(options) {
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw invalid(`options must be an object, not ${String(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown) throw invalid(`there is no option \`${unknown}\`; the options are ${OPTIONS.join(', ')}`);
  const { resolvers, timeout, onStoreFailure } = options;
  if (resolvers !== undefined && !Array.isArray(resolvers)) throw invalid('`resolvers` must be an array of classes');
  if (timeout !== undefined && !(Number.isInteger(timeout) && timeout > 0 && timeout <= MAX_TIMEOUT)) {
    throw invalid(`\`timeout\` must be a whole number of ms from 1 to ${MAX_TIMEOUT}, not ${String(timeout)}`);
  }
  if (![undefined, 'continue', 'reject'].includes(onStoreFailure) && typeof onStoreFailure !== 'function') {
    throw invalid(`\`onStoreFailure\` must be 'continue', 'reject' or a function, not ${String(onStoreFailure)}`);
  }
  return options;
}

function session(options = {}) {
  const { store = new MemoryStore(), app, resolvers = [], timeout, onStoreFailure } = checked(options);
  const engine = engineOf(store);
  if (timeout !== undefined) engine.timeout = timeout;
  codec.addClasses(resolvers);
  if (store instanceof MemoryStore) store.warn();

  store.generate = (req) => {
    if (req.mks) return;
    const mks = new Session({ store });
    // a transaction or a leg, whose dialog keeps its key
    const holder = holderOf(req);
    const id = holder?.id ?? idOf(req);
    if (holder?.descriptor) mks.claim(id, holder.descriptor);
    else if (id) mks.set(id);
    if (holder) holder.replace(mks);
    else mks.attachTo(req);
  };

  const open = (host, req, res, next, dialogsOnly = false) => {
    const transaction = new Transaction(engine, host, req, res, onStoreFailure);
    const { id, plan } = transaction;
    const missing = incomplete(req, id);
    if (missing) {
      // On drachtio-srf the middleware at its own place in the stack reports it. A request that has a session needs none.
      return dialogsOnly || req.mks || req.session ? next() : next(missing);
    }
    if (plan === 0 || (dialogsOnly && !transaction.isOfDialog)) return next();
    if (debug.enabled) debug('%s %s from %s, plan %d', req.method, id, req.source, plan);
    transaction.begin(next);
  };
  if (!SrfHost.of(app, engine, open)) shareOnSend(app);

  return function attachSession(req, res, next) {
    const host = SrfHost.of(req.srf, engine, open);
    if (!host) return open(classicHost, req, res, next);
    const earlier = Transaction.of(req);
    if (!earlier) return open(host, req, res, next);
    // drachtio-srf delivers each request once, but other layers may have delayed it
    if (!earlier.canceled) return next();
    debug('%s %s: canceled before it reached the handlers', req.method, earlier.id);
  };
}

module.exports = session;
