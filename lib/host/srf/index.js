'use strict';
// drachtio-srf as a host: a middleware layer before all others, so that a request has its session before drachtio-srf
// dispatches it to a Dialog, and hooks on one instance for its Dialogs (dialogs.js) and for what it sends (outgoing.js).

const { ErrorCode, Event, Facts, Finish, Plan } = require('../../native/constants');
const rules = require('../../native/rules');
const { findLiveDialog } = require('../../session/find');
const Session = require('../../session/session');
const afterTurn = require('../../after-turn');
const Host = require('../host');
const { statusOf } = require('../request');
const delayedResponses = require('./delayed-responses');
const Dialogs = require('./dialogs');
const { listenForUpdate, onUpdate } = require('./early');
const { callIdOf, identify, tagsOf } = require('./identify');
const { Leg } = require('./leg');
const { branchOf, headerReader, tagOf } = require('./message');
const { findPending, idOfAnswered } = require('./names');
const { hookLegs } = require('./outgoing');
const hookProxy = require('./proxy');

const hosts = new WeakMap();

class SrfHost extends Host {
  // by status code, whether drachtio-srf accepts it
  #statuses = new Map();

  // `open(host, req, res, next, dialogsOnly)` gives a request its session
  constructor(srf, engine, open) {
    super();
    this.srf = srf;
    this.engine = engine;
    this.header = headerReader();
    this.dialogs = new Dialogs(this);
    // A new array: requests that are passing through the old one keep their place in it.
    const front = (req, res, next) => open(this, req, res, next, true);
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
    app.endSession = (holder) => delayedResponses.after(holder?.socket, () => endSession.call(app, holder));
  }

  // Replaces a method of this instance.
  wrap(name, make) {
    const value = make(this.srf[name]);
    Object.defineProperty(this.srf, name, { value, writable: true, configurable: true, enumerable: false });
  }

  // A request waits for its session. A Dialog gets the requests that came while it lived, even if it ended meanwhile.
  resumption({ leg, req, res }, next) {
    const dialog = leg?.dialog;
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

  identify(transaction) {
    return identify(this, transaction);
  }

  // The Call-ID and the local tag of a request that the application has sent to begin a dialog.
  tagsOfSent(req) {
    return { callId: callIdOf(this, req), remote: undefined, local: tagOf(this.header(req, 'from')) };
  }

  // The Dialog emits to its handlers in a later turn.
  afterHandlers(transaction) {
    afterTurn(transaction);
  }

  // res.send throws for a status without a reason phrase. On a response that is finished it does nothing else.
  accepts(res, status) {
    const known = this.#statuses.get(status);
    if (known !== undefined) return known;
    const proto = Object.getPrototypeOf(res);
    // a mock
    if (typeof proto?.send !== 'function') return true;
    const finished = Object.create(proto, { finished: { value: true } });
    let accepted = true;
    try {
      finished.send(status);
    } catch {
      accepted = false;
    }
    this.#statuses.set(status, accepted);
    return accepted;
  }

  // While it is delayed, the response says that it is finished, as after res.send. res.send would then do nothing.
  hold(res, status) {
    res.status = status;
    res.finished = true;
  }

  delay(res) {
    delayedResponses.add(res.req?.socket);
  }

  unhold(res, wasDelayed) {
    res.finished = false;
    if (wasDelayed) delayedResponses.remove(res.req?.socket);
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

  // drachtio-srf emits a CANCEL as an event of the last pending INVITE with its Call-ID. The branch tells which one it is of
  // (RFC 3261, 9.1).
  canceledBy(message, transaction) {
    const { engine, header } = this;
    const branch = message && branchOf(header(message, 'via'));
    if (!branch || branch === branchOf(header(transaction.req, 'via'))) return transaction;
    const callId = callIdOf(this, message);
    const remote = tagOf(header(message, 'from'));
    const found = findPending(engine, { callId, remote, branch }, header);
    // a peer that does not keep the branch
    return found ?? (remote === tagOf(header(transaction.req, 'from')) ? transaction : undefined);
  }

  awaitFinal({ req }) {
    if (req.method === 'INVITE') listenForUpdate(req);
  }

  // The request of a transaction that has a response may be proxied instead.
  mayProxy({ req }) {
    const { agent } = req;
    if (agent) hookProxy(agent);
  }

  addKey(mks, { descriptor, id }) {
    mks.claim(id, descriptor);
  }

  // A 2xx begins the dialog of a transaction.
  accepted(transaction) {
    const { engine, id, mks } = transaction;
    const answered = idOfAnswered(engine, id);
    if (answered === id) return;
    transaction.id = answered;
    this.addKey(mks, transaction);
    mks.removeKey(id, (err) => mks.report(err));
  }

  // The application has sent a request that begins a dialog.
  legSent(req, mks) {
    const leg = Leg.sent(this, req, mks);
    req.on?.('update', onUpdate);
    return leg;
  }

  // The application has sent a BYE by the id of its dialog, perhaps one of a process that has ended.
  byeSent(dialogId, err, bye) {
    if (err) {
      // in drachtio-srf 5 with err.code ENODIALOG
      if (!/unable to find dialog/i.test(err.message)) return;
      const [, callId, tag] = /^(.+);from-tag=(.*)$/.exec(dialogId) ?? [];
      if (callId) this.#endDialog(dialogId, { callId, remote: tag, local: tag });
      return;
    }
    bye.on('response', (res) => {
      const plan = rules.plan('BYE', Facts.TO_TAG, statusOf(res));
      if (!(plan & Plan.REMOVE_FIRST)) return;
      this.#endDialog(dialogId, tagsOf(this, bye, true));
    });
  }

  // A dialog has ended; its session may not be live in this process.
  #endDialog(dialogId, tags) {
    const leg = Leg.of(this.srf.findDialogById(dialogId) ?? {});
    if (leg) return this.dialogEnded(leg.mks, leg.id);
    const found = findLiveDialog(this.engine, tags);
    if (found) return this.dialogEnded(found.mks, found.id);
    Session.findDialog(this.engine.store, tags, (err, mks, id) => {
      if (err) this.engine.report(err);
      else if (mks) this.dialogEnded(mks, id);
    });
  }

  // The dialog with this key of a session has ended.
  dialogEnded(mks, id) {
    // its BYE may have removed it
    if (!mks.has(id) || rules.onEvent(Event.ENDED, 0, 0) !== Finish.REMOVE) return;
    // the application may have closed the store meanwhile
    mks.removeKey(id, (err) => err?.code !== ErrorCode.STORE_CLOSED && this.engine.report(err));
  }
}

// The index of the callback in res.send(status[, reason][, opts][, callback][, fnPrack]).
function callbackIndex([, reason]) {
  if (typeof reason === 'function') return 1;
  return typeof reason === 'object' ? 2 : 3;
}

module.exports = SrfHost;
