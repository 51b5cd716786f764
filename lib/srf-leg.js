'use strict';
// A leg: one request that a drachtio-srf application has sent and that begins a dialog if it is accepted. From then on
// its Call-ID is a key of its session; a leg that fails loses it again.

const debug = require('debug')('drachtio:session');
const native = require('./native');
const { statusOf } = require('./host');
const { Event, Facts, Finish } = require('./rules');
const { Session } = require('./session');
const { keyOfSent } = require('./srf-keys');

// The session of a request is that of the request sent in its place after a challenge.
function attachSent(req, mks) {
  mks.attachTo(req);
  req.on('authenticate', (again) => mks.attachTo(again));
}

class Leg {
  // `mks`: the session it shares; one of its own without it, or if it has ended meanwhile
  constructor(host, req, mks) {
    const { engine } = host;
    this.engine = engine;
    this.req = req;
    this.id = keyOfSent(engine, req);
    this.mks = mks && !mks.removed ? mks : new Session({ store: engine.store });
    this.isGivenUp = false;
    this.mks.set(this.id);
    this.mks.hold();
    attachSent(req, this.mks);
    host.sent(this);
    debug('%s %s: sent with session %s', req.method, this.id, this.mks.uuid);
  }

  // The final response, 0 if there was none. `held`: a Dialog holds the session from now on.
  answered(status, held) {
    const { id, mks } = this;
    const facts = (mks.pending === undefined ? 0 : Facts.PENDING) | (held ? Facts.HELD : 0);
    const end = native.onEvent(Event.ANSWERED, facts, status);
    const report = (err) => this.engine.report(err);
    debug('%s %s: %d, %s', this.req.method, id, status, end === Finish.REMOVE ? 'key removed' : 'leg stays');
    if (end === Finish.REMOVE) mks.removeKey(id, report);
    else if (end !== Finish.NOTHING) mks.write(end, report);
    if (end === Finish.REMOVE || !held) mks.release();
  }

  // Its ACK, which is left to the application, is not expected any more.
  giveUp() {
    this.isGivenUp = true;
    this.answered(0, true);
  }

  // It came all the same.
  resume() {
    this.isGivenUp = false;
    this.mks.hold();
    if (this.mks.removed) return;
    this.mks.set(this.id);
    this.answered(200, true);
  }

  // Waits for the final response where drachtio-srf makes no Dialog of it.
  follow() {
    this.req.on('response', (res) => {
      const status = statusOf(res);
      if (status >= 200) this.answered(status, false);
    });
  }
}

module.exports = { Leg, attachSent };
