'use strict';
// drachtio-srf as a host: a middleware layer before all others, so that a request has its session before drachtio-srf
// dispatches it to a Dialog, and hooks on one instance for its Dialogs (dialogs.js) and for what it sends (outgoing.js).

const { Event, Facts, Finish, Plan } = require('../../native/constants');
const rules = require('../../native/rules');
const Session = require('../../session/session');
const Transaction = require('../../transaction/transaction');
const Host = require('../host');
const { factsOf, hasToTag, header, statusOf } = require('../request');
const DelayedResponses = require('./delayed-responses');
const Dialogs = require('./dialogs');
const { claimReceived, claimSent, keyInDialog, keyOfReceived, keyOfSentInDialog } = require('./keys');
const { hookLegs } = require('./outgoing');

const hosts = new WeakMap();

// event packages whose subscriptions share the dialog of an INVITE (RFC 3515, RFC 4730)
const WITHIN_CALL = /^\s*(?:refer|kpml)\b/i;

class SrfHost extends Host {
  // by status code, whether drachtio-srf accepts it
  #statuses = new Map();
  #delayed = new DelayedResponses();

  // `open(host, req, res, next, dialogsOnly)` gives a request its session
  constructor(srf, engine, open) {
    super();
    this.srf = srf;
    this.engine = engine;
    this.dialogs = new Dialogs(this);
    // A new array: requests that are passing through the old one keep their place in it.
    const front = (req, res, next) => open(this, req, res, this.#passOn(req, res, next), true);
    srf.app.stack = [{ method: '*', handle: front }, ...srf.app.stack];
    this.#hook();
  }

  // The host of an instance of drachtio-srf, undefined for anything else. Installs it if an engine is given.
  static of(srf, engine, open) {
    const known = hosts.get(srf);
    if (known || !engine || typeof srf?.createUAC !== 'function' || !Array.isArray(srf.app?.stack)) return known;
    const host = new SrfHost(srf, engine, open);
    hosts.set(srf, host);
    return host;
  }

  #hook() {
    const { dialogs, srf } = this;
    this.wrap('addDialog', (original) => (dialog) => {
      dialogs.began(dialog);
      return original.call(srf, dialog);
    });
    this.wrap('removeDialog', (original) => (dialog) => {
      const given = original.call(srf, dialog);
      dialogs.ended(dialog);
      return given;
    });
    hookLegs(this);
    // srf.endSession calls this
    const { app } = srf;
    const { endSession } = app;
    app.endSession = (holder) => this.#delayed.after(holder?.socket, () => endSession.call(app, holder));
  }

  // Replaces a method of this instance.
  wrap(name, make) {
    const value = make(this.srf[name]);
    Object.defineProperty(this.srf, name, { value, writable: true, configurable: true, enumerable: false });
  }

  // A Dialog gets the requests that came while it lived, even if it ended while the session was loaded.
  #passOn(req, res, next) {
    const dialog = req.stackDialogId && this.srf.findDialogById(req.stackDialogId);
    if (!dialog) return next;
    const listeners = req.method === 'BYE' ? dialog.rawListeners('destroy') : [];
    return (err) => {
      if (err || this.srf.findDialogById(req.stackDialogId)) return next(err);
      try {
        // the response to a BYE of the application has removed the listeners meanwhile
        if (dialog.listenerCount('destroy') === 0) listeners.forEach((listener) => dialog.on('destroy', listener));
        return dialog.handle(req, res);
      } catch (thrown) {
        return next(thrown);
      }
    };
  }

  keyOf(req) {
    return keyOfReceived(this.engine, req);
  }

  factsOf(req) {
    return factsOf(req) | (this.#unsubscribes(req) ? Facts.UNSUBSCRIBES : 0);
  }

  #unsubscribes(req) {
    const { method } = req;
    const last =
      method === 'SUBSCRIBE'
        ? Number(header(req, 'expires') || NaN) === 0
        : method === 'NOTIFY' && /^\s*terminated\b/i.test(header(req, 'subscription-state') ?? '');
    if (!last || !hasToTag(req)) return false;
    const dialog = this.srf.findDialogById(req.stackDialogId);
    if (!dialog) return !WITHIN_CALL.test(header(req, 'event') ?? '');
    return dialog.dialogType === 'SUBSCRIBE' && dialog.getCountOfSubscriptions() <= 1;
  }

  // The Dialog emits to its handlers in a later turn.
  afterHandlers(action) {
    setImmediate(action);
  }

  markResponded(res, hasResponded) {
    const get = () => hasResponded() || res.finished;
    Object.defineProperty(res, 'finalResponseSent', { get, configurable: true });
  }

  // res.send throws for a status without a reason phrase. On a response that is finished it does nothing else.
  accepts(res, status) {
    if (!this.#statuses.has(status)) {
      const finished = Object.create(Object.getPrototypeOf(res), { finished: { value: true } });
      let accepted = true;
      try {
        finished.send(status);
      } catch {
        accepted = false;
      }
      this.#statuses.set(status, accepted);
    }
    return this.#statuses.get(status);
  }

  // Sets res.status at once. res.end() marks the response as finished when its res.send returns, though it is delayed:
  // res.send would then do nothing.
  delay(res, status) {
    const { finished } = res;
    const beforeSend = this.#delayed.add(res.req?.socket);
    res.status = status;
    return () => {
      res.finished = finished;
      beforeSend();
    };
  }

  confirmSend(args, done) {
    const at = callbackIndex(args);
    const callback = args[at];
    if (callback && typeof callback !== 'function') return undefined;
    const all = [...args];
    all[at] = (err, ...results) => {
      try {
        callback?.(err, ...results);
      } finally {
        done(err);
      }
    };
    return all;
  }

  refuse(args) {
    const callback = args[callbackIndex(args)];
    if (typeof callback === 'function') callback(new Error('there was a final response before'));
  }

  // An UPDATE before the final response is an event of the INVITE and bypasses the middleware (drachtio-srf 5), which
  // refuses it if there is no listener. So this listens only if the application does, and before it.
  awaitFinal(transaction) {
    const { req } = transaction;
    claimReceived(transaction);
    if (req.method !== 'INVITE') return;
    const first = (event) => {
      if (event !== 'update') return;
      req.off('newListener', first);
      req.on('update', (update, res) => this.#join(update, res, transaction));
    };
    req.on('newListener', first);
  }

  // The application has sent a request that begins a dialog.
  legSent(leg) {
    this.dialogs.expect(leg);
    claimSent(leg);
    leg.req.on('update', (update, res) => this.#join(update, res, leg));
  }

  #join(req, res, { mks, id }) {
    if (mks) new Transaction(this.engine, this, req, res, id).attach(mks, () => undefined);
  }

  // The application has sent a BYE by the id of its dialog, perhaps one of a process that has ended.
  byeSent(dialogId, err, bye) {
    if (err) {
      // in drachtio-srf 5 with err.code ENODIALOG
      if (!/unable to find dialog/i.test(err.message)) return;
      const [, callId, tag] = /^(.+);from-tag=(.*)$/.exec(dialogId) ?? [];
      if (callId) this.drop(keyInDialog(this.engine, callId, tag, tag));
      return;
    }
    bye.on('response', (res) => {
      const plan = rules.plan('BYE', Facts.TO_TAG, statusOf(res));
      if (plan & Plan.REMOVE_FIRST) this.drop(keyOfSentInDialog(this.engine, bye));
    });
  }

  // The dialog with this key has ended; its session may not be live in this process.
  drop(id) {
    const { engine } = this;
    const unknown = () => Session.placeholder(engine.store, Plan.IN_DIALOG, true, id);
    this.dialogEnded(engine.sessions.find(id) ?? unknown(), id);
  }

  // The dialog with this key of a session has ended.
  dialogEnded(mks, id) {
    if (rules.onEvent(Event.ENDED, 0, 0) === Finish.REMOVE) mks.removeKey(id, (err) => this.engine.report(err));
  }
}

// The index of the callback in res.send(status[, reason][, opts][, callback][, fnPrack]).
function callbackIndex([, reason]) {
  if (typeof reason === 'function') return 1;
  return typeof reason === 'object' ? 2 : 3;
}

module.exports = SrfHost;
