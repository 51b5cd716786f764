'use strict';
// session(options): the middleware. What a message means is decided by the native rules (src/rules.rs); here the plan
// is carried out: a session is made or loaded and attached, res.send and res.ack wait for what has to be saved.

const debug = require('debug')('drachtio:session');
const codec = require('./codec');
const native = require('./native');
const SessionError = require('./errors');
const MemoryStore = require('./memory-store');
const { Engine } = require('./engine');
const { Facts, factsOf, idOf, isCanceled, statusOf } = require('./host');
const { shareOnSend } = require('./outgoing');
const { Session } = require('./session');

// as in src/rules.rs
const Plan = {
  CREATE: 1,
  LOAD: 1 << 1,
  ON_FINAL: 1 << 2,
  ON_ACK: 1 << 3,
  AFTER_HANDLER: 1 << 4,
  REMOVE_FIRST: 1 << 5,
  FORMS_DIALOG: 1 << 6,
  ENDS_DIALOG: 1 << 7,
  IN_DIALOG: 1 << 8
};
const REMOVE = 3; // Finish::Remove; lower numbers are extents of a save

const OPTIONS = ['store', 'app', 'resolvers', 'timeout'];

function checked(options) {
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw new SessionError('ERR_SESSION_OPTION', `session(options): options must be an object, not ${String(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown) {
    const message = `session(options): there is no option \`${unknown}\`; the options are ${OPTIONS.join(', ')}`;
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  const { resolvers, timeout } = options;
  if (resolvers !== undefined && !Array.isArray(resolvers)) {
    throw new SessionError('ERR_SESSION_OPTION', 'session(options): `resolvers` must be an array of classes');
  }
  if (timeout !== undefined && !(Number.isInteger(timeout) && timeout > 0 && timeout <= 86400000)) {
    const message = `session(options): \`timeout\` must be a whole number of ms from 1 to 86400000, not ${timeout}`;
    throw new SessionError('ERR_SESSION_OPTION', message);
  }
  return options;
}

function session(options = {}) {
  const { store = new MemoryStore(), app, resolvers = [], timeout } = checked(options);
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
  };

  return function attachSession(req, res, next) {
    const id = idOf(req);
    if (!id) {
      debug('%s without a Call-ID: no session', req.method);
      return next();
    }
    const message = new Message(engine, req, res, id);
    debug('%s %s from %s, plan %d', req.method, id, req.source, message.plan);
    if (message.plan === 0) return next();
    if (req.sessionID === undefined) req.sessionID = id;
    req.sessionStore = store;
    req.resolvers = codec.resolvers;
    message.begin(next);
  };
}

// One message on its way through the application.
class Message {
  constructor(engine, req, res, id) {
    this.engine = engine;
    this.req = req;
    this.res = res;
    this.id = id;
    this.facts = factsOf(req);
    // a look at req.session would parse it
    const attached = req.mks instanceof Session || req.session;
    if (attached) this.facts |= Facts.ATTACHED;
    if (engine.find(`mks:${id}`)?.pending === id) this.facts |= Facts.PENDING;
    this.mks = null;
    this.canceledByEvent = false;
    // whether a final response has been given
    this.leaving = false;
    // a session that is not ours is left alone
    const foreign = attached && !(req.mks instanceof Session);
    this.plan = foreign ? 0 : native.plan(req.method, this.facts, req.source === 'application' ? statusOf(res) : 0);
  }

  begin(next) {
    // drachtio-srf tells of a CANCEL by an event; it may come while the session is still being loaded
    if (this.plan & Plan.FORMS_DIALOG && typeof this.req.once === 'function') {
      this.req.once('cancel', () => this.cancel());
    }
    if (this.plan & Plan.CREATE) this.attach(this.fresh(false), next);
    else if (this.plan & Plan.LOAD) this.load(next);
    else this.attach(this.req.mks, next);
  }

  // a new session with this message's key
  fresh(adopt) {
    return new Session({ store: this.engine.store }, native.newRecord(adopt)).set(this.id);
  }

  // what stands in for a session that is not in the store
  missing() {
    if (this.plan & Plan.IN_DIALOG) return new Session({ store: this.engine.store }, native.endedRecord());
    return this.fresh(!(this.plan & Plan.FORMS_DIALOG));
  }

  load(next) {
    if (!this.engine.ready) return this.attach(this.withoutStore('the store is disconnected'), next);
    Session.find(this.engine.store, this.id, (err, found) => {
      if (this.plan & Plan.FORMS_DIALOG && this.canceled) return this.canceledMeanwhile(found);
      if (err) {
        this.engine.report(err);
        return this.attach(this.withoutStore(err.message), next);
      }
      debug('%s %s: %s', this.req.method, this.id, found ? 'loaded' : 'no session, an empty one');
      this.attach(found || this.missing(), next);
    });
  }

  // an empty session in place of one that can't be loaded: what is put into it goes nowhere, unless a dialog begins
  withoutStore(why) {
    debug('%s %s: degraded, %s', this.req.method, this.id, why);
    const forms = this.plan & Plan.FORMS_DIALOG;
    const mks = forms
      ? this.fresh(true)
      : new Session({ store: this.engine.store }, native.unknownRecord()).set(this.id);
    mks.degraded = true;
    return mks;
  }

  get canceled() {
    return this.canceledByEvent || isCanceled(this.req);
  }

  // A CANCEL removes the key of an INVITE that still waits for its final response (RFC 3261, 9.2).
  cancel() {
    this.canceledByEvent = true;
    if (!this.mks || this.leaving) return;
    debug('%s %s: canceled, key removed', this.req.method, this.id);
    this.mks.pending = undefined;
    this.mks.removeKey(this.id, (err) => this.engine.report(err));
  }

  // A canceled INVITE does not reach the handlers.
  canceledMeanwhile(found) {
    debug('%s %s: canceled while its session was loaded', this.req.method, this.id);
    found?.removeKey(this.id, (err) => this.engine.report(err));
  }

  attach(mks, next) {
    const { req, plan } = this;
    this.mks = mks;
    if (req.mks !== mks) mks.attachTo(req);
    mks.hold();
    if (plan & Plan.ON_FINAL) {
      if (plan & Plan.FORMS_DIALOG) mks.pending = this.id;
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
      if (plan & Plan.AFTER_HANDLER) mks.write(0, (err) => this.over(err));
      else this.over();
    }
  }

  over(err) {
    this.engine.report(err);
    this.mks.release();
  }

  // The final response waits until the session is saved, and leaves whatever came of that; once.
  wrapSend() {
    const { res } = this;
    const { send } = res;
    const own = Object.hasOwn(res, 'send');
    res.send = (...args) => {
      const [status] = args;
      const known = Number.isInteger(status) && status >= 100 && status < 700;
      if (!known || (status < 200 && !this.leaving)) return send.apply(res, args);
      if (this.leaving) {
        return debug('%s %s: a final response is on its way, %d is not sent', this.req.method, this.id, status);
      }
      this.leaving = true;
      let turn = true;
      let sent;
      this.finish(status, () => {
        if (own) res.send = send;
        else delete res.send;
        if (turn) sent = send.apply(res, args);
        else this.sendLater(send, args);
      });
      turn = false;
      return sent;
    };
  }

  // What the host throws can't reach the handler any more; the callback that was given may hear of it.
  sendLater(send, args) {
    try {
      send.apply(this.res, args);
    } catch (err) {
      const callback = args.find((arg) => typeof arg === 'function');
      if (callback) return callback(err);
      this.engine.report(new SessionError('ERR_SESSION_RESPONSE', `the response was refused: ${err.message}`, err));
    }
  }

  finish(status, leave) {
    const { canceled, plan } = this;
    // the handler may have asked for another one (Store#regenerate)
    const mks = this.req.mks || this.mks;
    const end = native.finish(plan, this.facts | (canceled ? Facts.CANCELED : 0), status);
    debug('%s %s: %d, %s', this.req.method, this.id, status, end === REMOVE ? 'key removed' : 'saved');
    const done = (err) => {
      const decided = plan & (Plan.FORMS_DIALOG | Plan.ENDS_DIALOG);
      if (decided && mks.pending === this.id) mks.pending = undefined;
      if (end !== REMOVE && !canceled && plan & Plan.FORMS_DIALOG && this.canceled) {
        // canceled while it was being saved
        mks.removeKey(this.id, (late) => this.engine.report(late));
      }
      this.over(err);
      leave();
    };
    if (end === REMOVE) mks.removeKey(this.id, done);
    else mks.write(end, done);
  }

  // The session is saved before the far end is acknowledged.
  wrapAck() {
    const { res } = this;
    const { ack } = res;
    if (typeof ack !== 'function') return this.over();
    res.ack = (...args) => {
      res.ack = ack;
      let sent;
      this.mks.write(native.finish(this.plan, this.facts, statusOf(res)), (err) => {
        this.over(err);
        sent = ack.apply(res, args);
      });
      return sent;
    };
    return undefined;
  }
}

module.exports = session;
