'use strict';
// Leg: a dialog as this process knows it, from the request that begins it to its end. It knows the session of the dialog and
// the id of the dialog's key; the Dialog and its requests refer to it, so that all of them have another session when the
// dialog moves there.

const debug = require('debug')('drachtio:session');
const { SessionError } = require('../../errors');
const { ErrorCode, Event, Facts, Finish, SaveMode } = require('../../native/constants');
const rules = require('../../native/rules');
const Session = require('../../session/session');
const { attachHolder, holderOf } = require('../../session/attach');
const { statusOf } = require('../request');
const { idOfNew, legOf } = require('./names');

// Attaches a session to a sent request, and to the one that repeats it after a challenge.
function attachSent(req, mks) {
  mks.attachTo(req);
  req.on?.('authenticate', (again) => mks.attachTo(again));
}

// A request that was challenged is repeated.
function onAuthenticate(again) {
  attachHolder(again, holderOf(this));
}

function onResponse(res) {
  const status = statusOf(res);
  if (status >= 200) holderOf(this).answered(status, false);
}

class Leg {
  // the id under which the key was added
  #id;
  // the moves to other sessions that are under way
  #moves = [];
  #detached = null;

  // `descriptor`: its leg descriptor, if it has one
  constructor(host, mks, id, descriptor) {
    this.host = host;
    this.engine = host.engine;
    this.mks = mks;
    this.#id = id;
    this.descriptor = descriptor;
    this.dialog = null;
    // whether the dialog has ended, and whether its session had other keys then
    this.hasEnded = false;
    this.wasShared = false;
    // whether the ACK that the application sends itself is not expected any more
    this.isAbandoned = false;
    // its place among the legs that are up, and when its session is looked at for renewal (renewal.js)
    this.index = -1;
    this.dueAt = 0;
    this.renewalFails = false;
    mks.retain();
  }

  // The leg of a request that the application has sent. `mks`: the session that it shares; without it, or if that has ended,
  // it gets its own.
  static sent(host, req, mks) {
    const { engine } = host;
    const tags = host.tagsOfSent(req);
    const id = idOfNew(engine, tags, req, host.header);
    const session = mks && !mks.removed ? mks : new Session({ store: engine.store });
    const descriptor = legOf('>', req.method, tags.local);
    session.claim(id, descriptor);
    const leg = new Leg(host, session, id, descriptor);
    attachHolder(req, leg);
    req.on?.('authenticate', onAuthenticate);
    debug('%s %s: sent with session %s', req.method, id, session.uuid);
    return leg;
  }

  // The leg of a Dialog or of a sent request, if it has one.
  static of(object) {
    const holder = holderOf(object);
    return holder instanceof Leg ? holder : undefined;
  }

  // the id of its key: another dialog may have had that under which it was added
  get id() {
    return (this.mks ?? this.#detached).currentId(this.#id);
  }

  // The final response, 0 if there was none. `retained`: a Dialog retains the session from now on. `isDeferred`: the final
  // response to a pending INVITE, which shares the session, follows at once and stores the key.
  answered(status, retained, isDeferred = false) {
    const { id, mks } = this;
    const isPending = isDeferred && mks.pending !== undefined;
    const isShared = mks.keyCount > 1;
    const facts = (isPending ? Facts.PENDING : 0) | (retained ? Facts.RETAINED : 0) | (isShared ? Facts.SHARED : 0);
    const finish = rules.onEvent(Event.ANSWERED, facts, status);
    const report = (err) => mks.report(err);
    debug('%s: %d, %s', id, status, finish === Finish.REMOVE ? 'key removed' : 'leg stays');
    if (finish === Finish.REMOVE) mks.removeKey(id, report);
    else if (finish === Finish.NOTHING) mks.saveDue = isPending;
    else mks.write(rules.saveModeOf(finish), report);
    if (finish === Finish.REMOVE || !retained) mks.release();
  }

  // The application is not expected to send the ACK any more.
  abandon() {
    this.isAbandoned = true;
    this.answered(0, true);
  }

  // The application has sent the ACK all the same.
  resume() {
    this.isAbandoned = false;
    const { mks } = this;
    mks.retain();
    if (mks.removed) return;
    if (this.descriptor) mks.claim(this.id, this.descriptor);
    else mks.set(this.id);
    this.answered(200, true);
  }

  // Listens for the final response, where drachtio-srf makes no Dialog.
  listen(req) {
    req.on('response', onResponse);
  }

  // The handlers of 'destroy' have run. What they have changed is saved if another leg shares the session and has not ended
  // too.
  afterTurn() {
    const { mks } = this;
    if (this.wasShared) mks.write(SaveMode.CHANGES, (err) => mks.report(err));
    mks.release();
  }

  // Its key leads to this session now.
  follow(mks) {
    if (mks === this.mks) return;
    const before = this.#detached ?? this.mks;
    this.#detached = null;
    mks.retain();
    this.mks = mks;
    this.dueAt = 0;
    before.release();
  }

  // Its session was destroyed; it gets another one at once (Store#regenerate).
  detach() {
    this.#detached = this.mks;
    this.mks = null;
  }

  replace(mks) {
    this.follow(mks);
  }

  // Moves the dialog to another session, with its key; one move after the other.
  moveTo(mks, done = (err) => this.engine.report(err)) {
    if (this.#moves.push({ mks, done }) === 1) this.#move();
  }

  #move() {
    const [{ mks, done }] = this.#moves;
    this.#moveNow(mks, (err) => {
      this.#moves.shift();
      if (this.#moves.length > 0) this.#move();
      done(err);
    });
  }

  #moveNow(mks, done) {
    const { id, mks: before } = this;
    if (mks === before) return done(null);
    if (this.hasEnded || mks.removed) {
      const what = this.hasEnded ? 'the dialog' : `the session ${mks.uuid}`;
      return done(new SessionError(ErrorCode.GONE, `${what} has ended: the dialog was not moved`));
    }
    debug('%s: moves from session %s to %s', id, before.uuid, mks.uuid);
    // while the key moves, both sessions must live
    before.retain();
    const over = (err) => {
      before.release();
      done(err);
    };
    try {
      mks.take(id, before.legOf(id), before.get(id));
    } catch (err) {
      return over(err);
    }
    this.follow(mks);
    return mks.write(SaveMode.ALWAYS, (err) => {
      if (!err || isPending(err)) return before.removeKey(id, (left) => over(err ?? left));
      if (this.mks === mks) this.#moveBack(before, mks, id);
      return over(err);
    });
  }

  // The store does not have the move.
  #moveBack(before, mks, id) {
    this.follow(before);
    mks.giveBack(id);
    if (!before.removed) before.relist();
  }
}

// Whether the engine writes later what a save has not written.
const isPending = ({ code }) => code === ErrorCode.TIMEOUT || code === ErrorCode.STORE_UNAVAILABLE;

module.exports = { Leg, attachSent };
