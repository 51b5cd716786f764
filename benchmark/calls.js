'use strict';
// The calls that the application under test handles: the requests that arrive and what its handlers do with the session.
// A step lasts from the arrival of a request until its final response is sent, or the handler of an ACK has returned.

const { performance } = require('node:perf_hooks');
const { isSame } = require('./session-data');

class Call {
  constructor(host, id, make, steps, over) {
    this.host = host;
    this.id = id;
    this.make = make;
    this.steps = steps;
    this.over = over;
    this.data = undefined;
    // whether a handler got a session without a change that was made before
    this.lost = false;
  }

  // A request arrives in the next turn of the event loop; `then` is called after its step.
  arrive(method, id, handler, then) {
    this.host.deliver(() => {
      const begun = performance.now();
      const done = () => {
        this.steps[method].push(performance.now() - begun);
        then();
      };
      const sent = (status) => {
        if (status !== 200) throw new Error(`${method} was answered ${status}`);
        done();
      };
      const handle = (req, res) => {
        handler(req, res);
        if (method === 'ACK') done();
      };
      this.host.receive(method, id, handle, sent);
    });
  }

  store(req) {
    this.data = this.make(this.id);
    Object.assign(req.session, this.data);
  }

  read(req) {
    if (!isSame(req.session, this.data)) this.lost = true;
  }

  answer(req, res) {
    this.read(req);
    res.send(200);
  }
}

// INVITE, 200, ACK, BYE. The handler of the INVITE fills the session, those of ACK and BYE read it.
class UasCall extends Call {
  static methods = ['INVITE', 'ACK', 'BYE'];

  begin() {
    this.open(() => this.close());
  }

  // as far as the ACK
  open(then) {
    const invited = (req, res) => {
      this.store(req);
      res.send(200);
    };
    const acked = (req) => this.read(req);
    this.arrive('INVITE', this.id, invited, () => this.arrive('ACK', this.id, acked, then));
  }

  close() {
    this.arrive('BYE', this.id, (req, res) => this.answer(req, res), this.over);
  }
}

// A B2BUA: the application sends an INVITE to leg B with the session of leg A, and answers A when B has answered. B sends an
// INFO, whose handler changes the session. A hangs up, then the application hangs up B.
class B2buaCall extends Call {
  static methods = ['INVITE', 'ACK', 'INFO', 'BYE'];

  begin() {
    this.idB = `b-${this.id}`;
    this.arrive(
      'INVITE',
      this.id,
      (req, res) => this.invited(req, res),
      () => this.acked()
    );
  }

  invited(req, res) {
    this.store(req);
    const options = { method: 'INVITE', callId: this.idB, session: req.session, acked: () => res.send(200) };
    this.host.siprequest(options, (err, uacReq, uacRes) => {
      if (err) throw err;
      uacRes.ack();
    });
  }

  acked() {
    const info = (req, res) => {
      req.session.legs = 2;
      this.answer(req, res);
    };
    const informed = () => this.arrive('INFO', this.idB, info, () => this.hangUp());
    this.arrive('ACK', this.id, (req) => this.read(req), informed);
  }

  // One leg after the other: the classic module never removes a session whose two keys are removed at the same moment.
  hangUp() {
    const bye = (req, res) => {
      if (req.session.legs !== 2) this.lost = true;
      this.answer(req, res);
    };
    this.arrive('BYE', this.id, bye, () => this.host.siprequest({ method: 'BYE', callId: this.idB }, this.over));
  }
}

module.exports = { B2buaCall, UasCall };
