'use strict';
// drachtio-srf as a host: a layer in front of the application's own, so that a request has its session before the
// application's dialogs see it, and hooks on one instance for its dialogs and for what it sends.

const native = require('./native');
const Dialogs = require('./srf-dialogs');
const { Host, factsOf, hasToTag, header, statusOf } = require('./host');
const Message = require('./message');
const rules = require('./rules');
const { Session } = require('./session');
const { claimReceived, claimSent, keyInDialog, keyOfReceived, keyOfSentInDialog } = require('./srf-keys');
const { hookLegs } = require('./srf-legs');
const Waiting = require('./srf-waiting');

const { Event, Facts, Finish, Plan } = rules;
const hosts = new WeakMap();

// packages whose subscriptions live in the dialog of an INVITE (RFC 3515, RFC 4730)
const WITHIN_CALL = /^\s*(?:refer|kpml)\b/i;

class SrfHost extends Host {
  // by status code, whether drachtio-srf knows it
  #statuses = new Map();
  #waiting = new Waiting();

  // `open(host, req, res, next, dialogsOnly)` gives a request its session
  constructor(srf, engine, open) {
    super();
    this.srf = srf;
    this.engine = engine;
    this.dialogs = new Dialogs(this);
    // A new array: requests on their way through the old one keep their place in it.
    const front = (req, res, next) => open(this, req, res, this.#passOn(req, res, next), true);
    srf.app.stack = [{ method: '*', handle: front }, ...srf.app.stack];
    this.#hook();
  }

  // The host of an instance of drachtio-srf, nothing for anything else; it is installed if an engine is given.
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
    // srf.endSession is handed on to this
    const { app } = srf;
    const { endSession } = app;
    app.endSession = (holder) => this.#waiting.after(holder?.socket, () => endSession.call(app, holder));
  }

  // Replaces a method of this instance.
  wrap(name, make) {
    const value = make(this.srf[name]);
    Object.defineProperty(this.srf, name, { value, writable: true, configurable: true, enumerable: false });
  }

  // A request that came while its Dialog was there is the Dialog's, even if that ended while the session was loaded.
  #passOn(req, res, next) {
    const dialog = req.stackDialogId && this.srf.findDialogById(req.stackDialogId);
    if (!dialog) return next;
    const listeners = req.method === 'BYE' ? dialog.rawListeners('destroy') : [];
    return (err) => {
      if (err || this.srf.findDialogById(req.stackDialogId)) return next(err);
      try {
        // a BYE of the application, answered meanwhile, has taken them away
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

  // The Dialog tells its handlers in a turn of its own.
  afterHandlers(action) {
    setImmediate(action);
  }

  answering(res, isGiven) {
    const get = () => isGiven() || res.finished;
    Object.defineProperty(res, 'finalResponseSent', { get, configurable: true });
  }

  // It throws for a code that it has no reason phrase for. Asked of a response that has left, it does nothing else.
  takes(res, status) {
    if (!this.#statuses.has(status)) {
      const left = Object.create(Object.getPrototypeOf(res), { finished: { value: true } });
      let taken = true;
      try {
        left.send(status);
      } catch {
        taken = false;
      }
      this.#statuses.set(status, taken);
    }
    return this.#statuses.get(status);
  }

  // res.status is there at once. res.end() marks the response as sent when its res.send has returned.
  waits(res, status) {
    const { finished } = res;
    const left = this.#waiting.add(res.req?.socket);
    res.status = status;
    return () => {
      res.finished = finished;
      left();
    };
  }

  confirmed(args, done) {
    const at = placeOfCallback(args);
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
    const callback = args[placeOfCallback(args)];
    if (typeof callback === 'function') callback(new Error('a final response was given before'));
  }

  // A request waits for its final response. An UPDATE before that comes as an event of the INVITE, past the stack
  // (drachtio-srf 5). It is refused if nobody listens, so we do only if somebody else does, and before.
  pending(message) {
    const { req } = message;
    claimReceived(message);
    if (req.method !== 'INVITE') return;
    const first = (event) => {
      if (event !== 'update') return;
      req.off('newListener', first);
      req.on('update', (update, res) => this.#join(update, res, message));
    };
    req.on('newListener', first);
  }

  // A request was sent that begins a dialog.
  sent(leg) {
    this.dialogs.expect(leg);
    claimSent(leg);
    leg.req.on('update', (update, res) => this.#join(update, res, leg));
  }

  #join(req, res, { mks, id }) {
    if (mks) new Message(this.engine, this, req, res, id).attach(mks, () => undefined);
  }

  // The application has sent a BYE by the id of its dialog, perhaps one of a process that is no more.
  byeSent(dialogId, err, bye) {
    if (err) {
      // v5: err.code ENODIALOG
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

  // The dialog with this key is over. No session of it need be here.
  drop(id) {
    const { engine } = this;
    const unknown = () => Session.standIn(engine.store, Plan.IN_DIALOG, true, id);
    this.ended(engine.find(id) ?? unknown(), id);
  }

  // The dialog with this key of a session is over.
  ended(mks, id) {
    if (native.onEvent(Event.ENDED, 0, 0) === Finish.REMOVE) mks.removeKey(id, (err) => this.engine.report(err));
  }
}

// res.send(status[, reason][, opts][, callback][, fnPrack])
function placeOfCallback([, reason]) {
  if (typeof reason === 'function') return 1;
  return typeof reason === 'object' ? 2 : 3;
}

module.exports = SrfHost;
