'use strict';
// Leg: a request that a drachtio-srf application has sent, and that begins a dialog if it is accepted. Its Call-ID is a key
// of its session from the moment the request is sent; if the leg fails, the key is removed.

const debug = require('debug')('drachtio:session');
const { Event, Facts, Finish } = require('../../native/constants');
const rules = require('../../native/rules');
const Session = require('../../session/session');
const { statusOf } = require('../request');
const { keyOfSent } = require('./keys');

// Attaches a session to a sent request, and to the one that repeats it after a challenge.
function attachSent(req, mks) {
  mks.attachTo(req);
  req.on('authenticate', (again) => mks.attachTo(again));
}

class Leg {
  // `mks`: the session that it shares; without it, or if that has ended, it gets its own
  constructor(host, req, mks) {
    const { engine } = host;
    this.engine = engine;
    this.req = req;
    this.id = keyOfSent(engine, req);
    this.mks = mks && !mks.removed ? mks : new Session({ store: engine.store });
    // whether the ACK that the application sends itself is not expected any more
    this.isAbandoned = false;
    this.mks.set(this.id);
    this.mks.retain();
    attachSent(req, this.mks);
    host.legSent(this);
    debug('%s %s: sent with session %s', req.method, this.id, this.mks.uuid);
  }

  // The final response, 0 if there was none. `retained`: a Dialog retains the session from now on.
  answered(status, retained) {
    const { id, mks } = this;
    const facts = (mks.pending === undefined ? 0 : Facts.PENDING) | (retained ? Facts.RETAINED : 0);
    const finish = rules.onEvent(Event.ANSWERED, facts, status);
    const report = (err) => this.engine.report(err);
    debug('%s %s: %d, %s', this.req.method, id, status, finish === Finish.REMOVE ? 'key removed' : 'leg stays');
    if (finish === Finish.REMOVE) mks.removeKey(id, report);
    else if (finish !== Finish.NOTHING) mks.write(rules.saveModeOf(finish), report);
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
    this.mks.retain();
    if (this.mks.removed) return;
    this.mks.set(this.id);
    this.answered(200, true);
  }

  // Listens for the final response, where drachtio-srf makes no Dialog.
  follow() {
    this.req.on('response', (res) => {
      const status = statusOf(res);
      if (status >= 200) this.answered(status, false);
    });
  }
}

module.exports = { Leg, attachSent };
