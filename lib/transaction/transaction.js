'use strict';
// Transaction: one SIP transaction on its way through the application. The rules (src/rules.rs) decide what its message
// means for the session; this class carries the plan out: it creates or loads the session, attaches it, and calls the
// handlers. response.js saves the session before the response is sent.

const debug = require('debug')('drachtio:session');
const diagnostics = require('../diagnostics');
const { isCanceled, statusOf } = require('../host/request');
const { Event, Facts, Finish, Plan, SaveMode } = require('../native/constants');
const rules = require('../native/rules');
const { attachHolder, holderOf } = require('../session/attach');
const codec = require('../session/codec');
const { findLiveDialog } = require('../session/find');
const Session = require('../session/session');
const { wrapAck, wrapSend } = require('./response');
const { rejects, unavailable } = require('./store-failure');

// drachtio-srf emits a CANCEL as an event of the INVITE; it may come while the session is being loaded
function onCancel(message) {
  const transaction = Transaction.of(this);
  if (!transaction) return;
  const canceled = transaction.host.canceledBy(message, transaction);
  if (canceled !== transaction) transaction.isOnlyCanceledByEvent = true;
  canceled?.cancel();
}

class Transaction {
  // the session, unless a leg has it; the one that this transaction retains
  #own = null;
  #retained = null;
  #isDetached = false;

  // the transaction of a request
  static of(req) {
    const holder = holderOf(req);
    return holder instanceof Transaction ? holder : undefined;
  }

  // `onStoreFailure` as session(options) takes it
  constructor(engine, host, req, res, onStoreFailure) {
    this.engine = engine;
    this.host = host;
    this.req = req;
    this.res = res;
    this.onStoreFailure = onStoreFailure;
    this.began = diagnostics.message.hasSubscribers ? performance.now() : 0;
    // The host says what the message is of: `id`, the id of its key; `leg`, the leg of its dialog, if that is known;
    // `tags`, those of its dialog, if the store must say which key that has; `live`, the live session with that key,
    // which may have ended.
    this.id = undefined;
    this.leg = null;
    this.tags = null;
    this.live = undefined;
    // `descriptor`, the leg descriptor of the dialog that the message begins.
    this.descriptor = undefined;
    this.facts = host.identify(this);
    // whether it was canceled by an event, and whether `req.canceled` says nothing
    this.canceledByEvent = false;
    this.isOnlyCanceledByEvent = false;
    // whether the application has given a final response
    this.responded = false;
    // of the response: `res.send` as it was, what stands in its place, what it was called with
    // (with this status), and what it means for the session
    this.send = undefined;
    this.wrapper = undefined;
    this.args = undefined;
    this.status = 0;
    this.finish = Finish.NOTHING;
    this.plan = this.id === undefined || typeof req.method !== 'string' ? 0 : this.#planned();
  }

  #planned() {
    const { req, res } = this;
    // reading req.session would parse the data
    const { mks } = req;
    if (mks) this.facts |= Facts.ATTACHED | (mks.keyCount > 1 ? Facts.SHARED : 0);
    // a session of another module is left alone
    if (mks ? !(mks instanceof Session) : req.session) return 0;
    return rules.plan(req.method, this.facts, req.source === 'application' ? statusOf(res) : 0);
  }

  get mks() {
    if (this.#isDetached) return null;
    return this.leg === null ? this.#own : this.leg.mks;
  }

  // Its request has no session until it gets another one.
  detach() {
    this.#isDetached = true;
  }

  begin(next) {
    const { req, plan } = this;
    if (this.isPending) {
      attachHolder(req, this);
      if (typeof req.once === 'function') req.once('cancel', onCancel);
    }
    if (plan & Plan.CREATE) this.create(next);
    else if (plan & Plan.LOAD) this.load(next);
    else this.attach(req.mks, next);
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
    return Session.placeholder(this.engine.store, this.plan, failed, this.id, this.descriptor);
  }

  create(next) {
    const { breakerOpen } = this.engine;
    if (breakerOpen && rejects(this, unavailable('the store has failed repeatedly'))) return;
    const mks = this.placeholder(false);
    mks.degraded = breakerOpen;
    this.attach(mks, next);
  }

  load(next) {
    const { engine, id, leg, live } = this;
    if (!engine.connected) return this.continueWithoutStore(unavailable('the store is disconnected'), next);
    // the dialog's session, if the store can have nothing newer
    if (leg !== null && live.has(id) && engine.isCurrent(live.record)) return this.#found(live, next);
    next = this.host.resumption(this, next);
    const loaded = (err, found, foundId) => {
      if (found && foundId !== undefined) this.id = foundId;
      if (this.isPending && this.canceled) return this.dropCanceled(found);
      if (err) {
        engine.report(err);
        return this.continueWithoutStore(err, next);
      }
      // another process may have moved the dialog; if this one has, the load is older
      if (leg !== null && found && found !== leg.mks && leg.mks === live) leg.follow(found);
      this.#found(leg === null ? found : leg.mks, next);
    };
    if (this.tags !== null) Session.findDialog(engine.store, this.tags, loaded);
    else Session.find(engine.store, id, loaded, live);
  }

  #found(found, next) {
    if (debug.enabled) debug('%s %s: %s', this.req.method, this.id, found ? 'loaded' : 'no session, a placeholder');
    if (found && this.isPending) this.host.addKey(found, this);
    this.attach(found ?? this.placeholder(false), next);
  }

  // The session could not be loaded: goes on with the live one, if there is one, or with a placeholder. What the handler
  // puts into a placeholder is not stored, unless a dialog begins.
  continueWithoutStore(err, next) {
    const live = this.leg?.mks ?? this.#findLive();
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

  #findLive() {
    const { engine, id, tags } = this;
    const found = tags === null ? undefined : findLiveDialog(engine, tags);
    if (!found) return engine.sessions.find(id);
    this.id = found.id;
    return found.mks;
  }

  get canceled() {
    if (!(this.facts & Facts.NETWORK)) return false;
    return this.canceledByEvent || (!this.isOnlyCanceledByEvent && isCanceled(this.req));
  }

  // A CANCEL removes the key of an INVITE that has no final response yet (RFC 3261, 9.2).
  cancel() {
    this.canceledByEvent = true;
    if (!this.mks) return;
    const pending = this.responded ? 0 : Facts.PENDING;
    if (rules.onEvent(Event.CANCELED, this.facts | pending, 0) !== Finish.REMOVE) return;
    debug('%s %s: canceled, key removed', this.req.method, this.id);
    this.decided();
    this.removeKey();
  }

  // The handlers do not get an INVITE that was canceled while its session was loaded.
  dropCanceled(found) {
    debug('%s %s: canceled while its session was loaded', this.req.method, this.id);
    found?.removeKey(this.id, (err) => this.engine.report(err));
  }

  attach(mks, next) {
    const { req, plan } = this;
    if (this.leg === null) this.#own = mks;
    req.sessionID ??= this.id;
    req.sessionStore = this.engine.store;
    req.resolvers = codec.resolvers;
    if (holderOf(req) !== this) attachHolder(req, this);
    mks.retain();
    this.#retained = mks;
    if (diagnostics.message.hasSubscribers) this.publish();
    if (plan & Plan.ON_FINAL) {
      if (this.isPending) {
        mks.pending = this;
        this.host.awaitFinal(this);
      }
      this.host.mayProxy(this);
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
      if (plan & Plan.AFTER_HANDLER) this.host.afterHandlers(this);
      else this.end();
    }
  }

  // A request in the early dialog of a pending INVITE, which drachtio-srf emits as an event of that.
  attachEarly(mks, id) {
    this.id = id;
    this.attach(mks, () => undefined);
  }

  publish() {
    const { req, id, mks, began } = this;
    const duration = began && performance.now() - began;
    diagnostics.message.publish({ method: req.method, callId: id, duration, degraded: mks.degraded });
  }

  // The handlers have run, and no response follows.
  afterTurn() {
    const finish = this.finishFor(0);
    if (finish === Finish.REMOVE) this.mks.removeKey(this.id, (err) => this.end(err));
    else this.mks.write(rules.saveModeOf(finish), (err) => this.end(err));
  }

  // Goes on with a session that exists, in place of the new one.
  join(mks) {
    if (mks === this.mks || mks.removed) return;
    this.host.addKey(mks, this);
    this.replace(mks);
  }

  // Goes on with another session (Store#regenerate).
  replace(mks) {
    if (this.isPending && !this.responded) mks.pending = this;
    if (this.#retained !== null) {
      mks.retain();
      this.#retained.release();
      this.#retained = mks;
    }
    this.#isDetached = false;
    if (this.leg === null) this.#own = mks;
    else this.leg.replace(mks);
  }

  // The host has proxied the request, and no final response passes the application.
  proxied() {
    if (this.responded || this.#retained === null) return;
    this.responded = true;
    if (!this.isPending) return this.mks.write(SaveMode.CHANGES, (err) => this.end(err));
    debug('%s %s: was proxied, key removed', this.req.method, this.id);
    this.decided();
    if (rules.onEvent(Event.PROXIED, this.facts, 0) === Finish.REMOVE) this.removeKey();
    this.release();
  }

  // The final response, or what takes its place, has decided whether a dialog begins.
  decided() {
    const { mks } = this;
    if (mks.pending === this) mks.pending = undefined;
  }

  end(err) {
    if (err) this.#retained?.report(err);
    this.release();
  }

  // Releases the session, once: the application may repeat a response that the host refused.
  release() {
    const retained = this.#retained;
    if (retained === null) return;
    this.#retained = null;
    retained.release();
  }

  // What a final response means for the session now: a number of Finish.
  finishFor(status) {
    let { facts } = this;
    if (this.canceled) facts |= Facts.CANCELED;
    if (facts & Facts.UNSUBSCRIBES && this.mks.isSubscription(this.id)) facts |= Facts.SUBSCRIPTION;
    return rules.finish(this.plan, facts, status);
  }

  // Removes the key of a dialog that does not begin. A leg that shares the session and is up keeps it stored.
  removeKey() {
    const { engine, id, mks } = this;
    if (mks.has(id)) mks.dropPending(id, (err) => engine.report(err));
  }
}

module.exports = Transaction;
