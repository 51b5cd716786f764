'use strict';
// One message on its way through the application. What it means is decided by the native rules (src/rules.rs); here the
// plan is carried out: a session is made or loaded and attached, res.send and res.ack wait for what has to be saved.

const debug = require('debug')('drachtio:session');
const { attachRequest } = require('./attach');
const codec = require('./codec');
const diagnostics = require('./diagnostics');
const native = require('./native');
const SessionError = require('./errors');
const { isCanceled, statusOf } = require('./host');
const rules = require('./rules');
const { Session } = require('./session');
const { rejects, unavailable } = require('./store-failure');

const { Event, Facts, Finish, Plan } = rules;

// where a request has its message
const MESSAGE = Symbol('drachtio-session message');

class Message {
  // the message that a request is
  static of(req) {
    return req[MESSAGE];
  }

  // `onStoreFailure` as session(options) takes it
  constructor(engine, host, req, res, id, onStoreFailure) {
    this.engine = engine;
    this.host = host;
    this.req = req;
    this.res = res;
    this.id = id;
    this.facts = host.factsOf(req);
    // a look at req.session would parse it
    const attached = req.mks instanceof Session || req.session;
    if (attached) this.facts |= Facts.ATTACHED;
    if (req.mks?.keyCount > 1) this.facts |= Facts.SHARED;
    this.known = engine.live.get(id);
    if (this.known?.pending === id) this.facts |= Facts.PENDING;
    this.mks = null;
    this.onStoreFailure = onStoreFailure;
    this.began = diagnostics.message.hasSubscribers ? performance.now() : 0;
    this.canceledByEvent = false;
    // whether a final response has been given
    this.leaving = false;
    // whether it holds the session still
    this.holds = false;
    // a session that is not ours is left alone
    const foreign = attached && !(req.mks instanceof Session);
    this.plan = foreign ? 0 : rules.plan(req.method, this.facts, req.source === 'application' ? statusOf(res) : 0);
  }

  begin(next) {
    // drachtio-srf tells of a CANCEL by an event; it may come while the session is still being loaded
    if (this.isPending && typeof this.req.once === 'function') this.req.once('cancel', () => this.cancel());
    if (this.plan & Plan.CREATE) this.create(next);
    else if (this.plan & Plan.LOAD) this.load(next);
    else this.attach(this.req.mks, next);
  }

  // whether it is a message of a dialog, or of one that may begin
  get isOfDialog() {
    return Boolean(this.plan & (Plan.FORMS_DIALOG | Plan.IN_DIALOG));
  }

  // whether it is a request whose final response decides if a dialog begins
  get isPending() {
    return Boolean(this.plan & Plan.FORMS_DIALOG && this.facts & Facts.NETWORK);
  }

  // the session as it stands in this process, if another request holds it
  get live() {
    return this.engine.find(this.id);
  }

  // what takes the place of a session that could not be loaded, or that there is none of
  standIn(failed) {
    return Session.standIn(this.engine.store, this.plan, failed, this.id);
  }

  create(next) {
    const { down } = this.engine;
    if (down && rejects(this, unavailable('the store has failed repeatedly'))) return;
    const mks = this.standIn(false);
    mks.degraded = down;
    this.attach(mks, next);
  }

  load(next) {
    if (!this.engine.ready) return this.withoutStore(unavailable('the store is disconnected'), next);
    const loaded = (err, found) => {
      if (this.isPending && this.canceled) return this.canceledMeanwhile(found);
      if (err) {
        this.engine.report(err);
        return this.withoutStore(err, next);
      }
      if (debug.enabled) debug('%s %s: %s', this.req.method, this.id, found ? 'loaded' : 'no session, an empty one');
      this.attach(found || this.standIn(false), next);
    };
    Session.find(this.engine.store, this.id, loaded, this.known);
  }

  // Goes on without what is stored: with the session as this process knows it. Where it does not, what the handler puts
  // into the session goes nowhere, unless a dialog begins.
  withoutStore(err, next) {
    const { live } = this;
    if (live) {
      // others may have changed it
      live.degraded = true;
      return this.attach(live, next);
    }
    if (rejects(this, err)) return;
    debug('%s %s: degraded, %s', this.req.method, this.id, err.message);
    const mks = this.standIn(true);
    mks.degraded = true;
    this.attach(mks, next);
  }

  get canceled() {
    return Boolean(this.facts & Facts.NETWORK) && (this.canceledByEvent || isCanceled(this.req));
  }

  // A CANCEL removes the key of an INVITE that still waits for its final response (RFC 3261, 9.2).
  cancel() {
    this.canceledByEvent = true;
    if (!this.mks) return;
    const waits = this.leaving ? 0 : Facts.PENDING;
    if (native.onEvent(Event.CANCELED, this.facts | waits, 0) !== Finish.REMOVE) return;
    debug('%s %s: canceled, key removed', this.req.method, this.id);
    this.mks.pending = undefined;
    this.remove();
  }

  // A canceled INVITE does not reach the handlers.
  canceledMeanwhile(found) {
    debug('%s %s: canceled while its session was loaded', this.req.method, this.id);
    found?.removeKey(this.id, (err) => this.engine.report(err));
  }

  attach(mks, next) {
    const { req, plan } = this;
    this.mks = mks;
    req[MESSAGE] = this;
    req.sessionID ??= this.id;
    req.sessionStore = this.engine.store;
    req.resolvers = codec.resolvers;
    if (req.mks !== mks) attachRequest(req, mks);
    mks.hold();
    this.holds = true;
    if (diagnostics.message.hasSubscribers) this.tell();
    if (plan & Plan.ON_FINAL) {
      if (this.isPending) {
        mks.pending = this.id;
        this.host.pending(this);
      }
      this.wrapSend();
      return next();
    }
    if (plan & Plan.ON_ACK) {
      this.wrapAck();
      return next();
    }
    if (plan & Plan.REMOVE_FIRST) {
      return mks.removeKey(this.id, (err) => {
        debug('%s %s: key removed', req.method, this.id);
        this.over(err);
        next();
      });
    }
    try {
      next();
    } finally {
      if (plan & Plan.AFTER_HANDLER) this.host.afterHandlers(() => this.settle());
      else this.over();
    }
  }

  tell() {
    const { req, id, mks, began } = this;
    const duration = began && performance.now() - began;
    diagnostics.message.publish({ method: req.method, callId: id, duration, degraded: mks.degraded });
  }

  // The handlers have returned, and no response will follow.
  settle() {
    const done = (err) => this.over(err);
    const end = rules.finish(this.plan, this.facts, 0);
    if (end === Finish.REMOVE) this.mks.removeKey(this.id, done);
    else this.mks.write(end, done);
  }

  // Goes on with a session that there is already, in place of the new one.
  join(mks) {
    if (mks === this.mks || mks.removed) return;
    mks.set(this.id).attachTo(this.req);
    this.replace(mks);
  }

  // Goes on with another session (Store#regenerate).
  replace(mks) {
    if (this.isPending && !this.leaving) mks.pending = this.id;
    if (this.holds) {
      mks.hold();
      this.mks.release();
    }
    this.mks = mks;
  }

  over(err) {
    this.engine.report(err);
    this.release();
  }

  // Once, though a response that the host refused may be given again.
  release() {
    if (!this.holds) return;
    this.holds = false;
    this.mks.release();
  }

  // The final response waits until the session is saved, and leaves whatever came of that; once.
  wrapSend() {
    const { res } = this;
    const { send } = res;
    this.host.answering(res, () => this.leaving);
    res.send = (...args) => {
      const [status] = args;
      const known = Number.isInteger(status) && status >= 100 && status < 700 && this.host.takes(res, status);
      if (!known || (status < 200 && !this.leaving)) return send.apply(res, args);
      if (this.leaving) {
        debug('%s %s: a final response was given before, %d is not sent', this.req.method, this.id, status);
        return this.host.refuse(args);
      }
      this.leaving = true;
      const end = this.outcome(status);
      const confirmed =
        end === Finish.SAVE_DIALOG ? this.host.confirmed(args, (err) => this.sent(status, err)) : undefined;
      const leaves = this.host.waits(res, status);
      const method = leaves ? after(leaves, send) : send;
      return this.afterwards(method, confirmed || args, (leave) => this.finish(status, end, leave, Boolean(confirmed)));
    };
  }

  // Calls a method of the response once, after something: in the same turn if that is done at once.
  afterwards(method, args, first) {
    let turn = true;
    let left = false;
    let given;
    first(() => {
      if (left) return;
      left = true;
      try {
        given = method.apply(this.res, args);
      } catch (err) {
        // nothing has left: the application may try again
        this.leaving = false;
        if (turn) throw err;
        // The handler can't catch it any more; the callback that was given may hear of it.
        const callback = args.find((arg) => typeof arg === 'function');
        if (callback) return callback(err);
        const message = `${this.req.method} ${this.id}: the host refused what had waited: ${err.message}`;
        this.engine.report(new SessionError('ERR_SESSION_RESPONSE', message, err));
      }
    });
    turn = false;
    return given;
  }

  // what a final response means, as things are now
  outcome(status) {
    return rules.finish(this.plan, this.facts | (this.canceled ? Facts.CANCELED : 0), status);
  }

  // `confirmed`: the host will tell whether the response was sent
  finish(status, end, leave, confirmed) {
    const { mks, plan } = this;
    if (debug.enabled) {
      debug('%s %s: %d, %s', this.req.method, this.id, status, end === Finish.REMOVE ? 'key removed' : 'saved');
    }
    const done = (err) => {
      const decided = plan & (Plan.FORMS_DIALOG | Plan.ENDS_DIALOG);
      if (decided && mks.pending === this.id) mks.pending = undefined;
      // canceled while it was being saved
      if (end !== Finish.REMOVE && this.outcome(status) === Finish.REMOVE) this.remove();
      if (confirmed) this.engine.report(err);
      else this.over(err);
      leave();
    };
    // whoever has hung up need not wait for the store's answer
    if (end === Finish.REMOVE) mks.removeKey(this.id, done, plan & Plan.ENDS_DIALOG ? leave : undefined);
    else mks.write(end, done);
  }

  // The response has left, or the host would not take it; the session was held until whoever goes on with it could.
  sent(status, err) {
    if (err && native.onEvent(Event.NOT_SENT, this.facts, status) === Finish.REMOVE) {
      debug('%s %s: %d was not sent, key removed: %s', this.req.method, this.id, status, err.message ?? err);
      this.remove();
    }
    this.release();
  }

  remove() {
    if (this.mks.has(this.id)) this.mks.removeKey(this.id, (err) => this.engine.report(err));
  }

  // The session is saved before the far end is acknowledged.
  wrapAck() {
    const { res, mks } = this;
    const { ack } = res;
    if (typeof ack !== 'function') return this.over();
    // an INVITE that was challenged has lost its key meanwhile
    if (this.plan & Plan.FORMS_DIALOG && !mks.removed) mks.set(this.id);
    res.ack = (...args) => {
      res.ack = ack;
      return this.afterwards(ack, args, (leave) => {
        mks.write(rules.finish(this.plan, this.facts, statusOf(res)), (err) => {
          this.over(err);
          leave();
        });
      });
    };
    return undefined;
  }
}

// A method that calls something else before.
const after = (first, method) =>
  function later(...args) {
    first();
    return method.apply(this, args);
  };

module.exports = Message;
