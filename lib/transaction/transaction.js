'use strict';
// Transaction: one SIP transaction on its way through the application. The rules (src/rules.rs) decide what its message
// means for the session; this class carries the plan out: it creates or loads the session, attaches it, and calls the
// handlers. response.js saves the session before the response is sent.

const debug = require('debug')('drachtio:session');
const diagnostics = require('../diagnostics');
const { isCanceled, statusOf } = require('../host/request');
const { Event, Facts, Finish, Plan } = require('../native/constants');
const rules = require('../native/rules');
const { attachRequest } = require('../session/attach');
const codec = require('../session/codec');
const Session = require('../session/session');
const { wrapAck, wrapSend } = require('./response');
const { rejects, unavailable } = require('./store-failure');

// where a request has its transaction
const TRANSACTION = Symbol('drachtio-session transaction');

class Transaction {
  // the transaction of a request
  static of(req) {
    return req[TRANSACTION];
  }

  // `onStoreFailure` as session(options) takes it
  constructor(engine, host, req, res, id, onStoreFailure) {
    this.engine = engine;
    this.host = host;
    this.req = req;
    this.res = res;
    this.id = id;
    this.facts = host.factsOf(req);
    // reading req.session would parse the data
    const attached = req.mks instanceof Session || req.session;
    if (attached) this.facts |= Facts.ATTACHED;
    if (req.mks?.keyCount > 1) this.facts |= Facts.SHARED;
    // the live session with this key; it may have ended
    this.registered = engine.sessions.get(id);
    if (this.registered?.pending === id) this.facts |= Facts.PENDING;
    this.mks = null;
    this.onStoreFailure = onStoreFailure;
    this.began = diagnostics.message.hasSubscribers ? performance.now() : 0;
    this.canceledByEvent = false;
    // whether the application has given a final response
    this.responded = false;
    // whether it retains the session
    this.retains = false;
    // a session of another module is left alone
    const foreign = attached && !(req.mks instanceof Session);
    this.plan = foreign ? 0 : rules.plan(req.method, this.facts, req.source === 'application' ? statusOf(res) : 0);
  }

  begin(next) {
    // drachtio-srf emits a CANCEL as an event; it may come while the session is being loaded
    if (this.isPending && typeof this.req.once === 'function') this.req.once('cancel', () => this.cancel());
    if (this.plan & Plan.CREATE) this.create(next);
    else if (this.plan & Plan.LOAD) this.load(next);
    else this.attach(this.req.mks, next);
  }

  // whether the message belongs to a dialog, or may begin one
  get isOfDialog() {
    return Boolean(this.plan & (Plan.FORMS_DIALOG | Plan.IN_DIALOG));
  }

  // whether it is a received request whose final response decides whether a dialog begins
  get isPending() {
    return Boolean(this.plan & Plan.FORMS_DIALOG && this.facts & Facts.NETWORK);
  }

  placeholder(failed) {
    return Session.placeholder(this.engine.store, this.plan, failed, this.id);
  }

  create(next) {
    const { breakerOpen } = this.engine;
    if (breakerOpen && rejects(this, unavailable('the store has failed repeatedly'))) return;
    const mks = this.placeholder(false);
    mks.degraded = breakerOpen;
    this.attach(mks, next);
  }

  load(next) {
    if (!this.engine.connected) return this.continueWithoutStore(unavailable('the store is disconnected'), next);
    const loaded = (err, found) => {
      if (this.isPending && this.canceled) return this.dropCanceled(found);
      if (err) {
        this.engine.report(err);
        return this.continueWithoutStore(err, next);
      }
      if (debug.enabled) debug('%s %s: %s', this.req.method, this.id, found ? 'loaded' : 'no session, a placeholder');
      this.attach(found || this.placeholder(false), next);
    };
    Session.find(this.engine.store, this.id, loaded, this.registered);
  }

  // The session could not be loaded: goes on with the live one, if there is one, or with a placeholder. What the handler
  // puts into a placeholder is not stored, unless a dialog begins.
  continueWithoutStore(err, next) {
    const live = this.engine.sessions.find(this.id);
    if (live) {
      // other processes may have changed it
      live.degraded = true;
      return this.attach(live, next);
    }
    if (rejects(this, err)) return;
    debug('%s %s: degraded, %s', this.req.method, this.id, err.message);
    const mks = this.placeholder(true);
    mks.degraded = true;
    this.attach(mks, next);
  }

  get canceled() {
    return Boolean(this.facts & Facts.NETWORK) && (this.canceledByEvent || isCanceled(this.req));
  }

  // A CANCEL removes the key of an INVITE that has no final response yet (RFC 3261, 9.2).
  cancel() {
    this.canceledByEvent = true;
    if (!this.mks) return;
    const pending = this.responded ? 0 : Facts.PENDING;
    if (rules.onEvent(Event.CANCELED, this.facts | pending, 0) !== Finish.REMOVE) return;
    debug('%s %s: canceled, key removed', this.req.method, this.id);
    this.mks.pending = undefined;
    this.removeKey();
  }

  // The handlers do not get an INVITE that was canceled while its session was loaded.
  dropCanceled(found) {
    debug('%s %s: canceled while its session was loaded', this.req.method, this.id);
    found?.removeKey(this.id, (err) => this.engine.report(err));
  }

  attach(mks, next) {
    const { req, plan } = this;
    this.mks = mks;
    req[TRANSACTION] = this;
    req.sessionID ??= this.id;
    req.sessionStore = this.engine.store;
    req.resolvers = codec.resolvers;
    if (req.mks !== mks) attachRequest(req, mks);
    mks.retain();
    this.retains = true;
    if (diagnostics.message.hasSubscribers) this.publish();
    if (plan & Plan.ON_FINAL) {
      if (this.isPending) {
        mks.pending = this.id;
        this.host.awaitFinal(this);
      }
      wrapSend(this);
      return next();
    }
    if (plan & Plan.ON_ACK) {
      wrapAck(this);
      return next();
    }
    if (plan & Plan.REMOVE_FIRST) {
      return mks.removeKey(this.id, (err) => {
        debug('%s %s: key removed', req.method, this.id);
        this.end(err);
        next();
      });
    }
    try {
      next();
    } finally {
      if (plan & Plan.AFTER_HANDLER) this.host.afterHandlers(() => this.finishWithoutResponse());
      else this.end();
    }
  }

  publish() {
    const { req, id, mks, began } = this;
    const duration = began && performance.now() - began;
    diagnostics.message.publish({ method: req.method, callId: id, duration, degraded: mks.degraded });
  }

  // The handlers have run, and no response follows.
  finishWithoutResponse() {
    const done = (err) => this.end(err);
    const finish = rules.finish(this.plan, this.facts, 0);
    if (finish === Finish.REMOVE) this.mks.removeKey(this.id, done);
    else this.mks.write(rules.saveModeOf(finish), done);
  }

  // Goes on with a session that exists, in place of the new one.
  join(mks) {
    if (mks === this.mks || mks.removed) return;
    mks.set(this.id).attachTo(this.req);
    this.replace(mks);
  }

  // Goes on with another session (Store#regenerate).
  replace(mks) {
    if (this.isPending && !this.responded) mks.pending = this.id;
    if (this.retains) {
      mks.retain();
      this.mks.release();
    }
    this.mks = mks;
  }

  end(err) {
    this.engine.report(err);
    this.release();
  }

  // Releases the session, once: the application may repeat a response that the host refused.
  release() {
    if (!this.retains) return;
    this.retains = false;
    this.mks.release();
  }

  // What a final response means for the session now: a number of Finish.
  finishFor(status) {
    return rules.finish(this.plan, this.facts | (this.canceled ? Facts.CANCELED : 0), status);
  }

  removeKey() {
    if (this.mks.has(this.id)) this.mks.removeKey(this.id, (err) => this.engine.report(err));
  }
}

module.exports = Transaction;
