'use strict';
// The host of the benchmark: requests and responses as classic drachtio gives them to its middleware, and no more, so that
// the middleware is measured and not the host. examples/classic-host.js is complete.
//
// Arriving messages wait in one queue, which the host works off once a turn of the event loop, as if they came by one socket.

const { EventEmitter } = require('node:events');

const FROM = '<sip:caller@a.example>;tag=a1';
const TO = '<sip:app@host.example>';
const TO_TAGGED = `${TO};tag=h1`;

class Request extends EventEmitter {
  constructor(source, method, id, inDialog) {
    super();
    this.source = source;
    this.method = method;
    this.id = id;
    this.canceled = false;
    this.headers = { 'call-id': id, from: FROM, to: inDialog ? TO_TAGGED : TO };
  }

  get(name) {
    return this.headers[name.toLowerCase()];
  }

  get active() {
    return !this.canceled;
  }

  get canFormDialog() {
    return this.method === 'INVITE' && this.headers.to === TO;
  }

  isNewInvite() {
    return this.canFormDialog;
  }
}

// The application's response; `sent(status)` is called when it is sent.
class Response {
  constructor(sent) {
    this.sent = sent;
  }

  send(status) {
    this.sent(status);
  }
}

// The response to a request of the application.
class ReceivedResponse {
  constructor(req, acked) {
    this.req = req;
    this.statusCode = 200;
    this.status = 200;
    this.acked = acked;
  }

  ack() {
    this.acked?.();
  }
}

// Sends a request of the application; the 200 passes through the middleware before the callback.
function dispatch(host, uacRequest, options, callbacks) {
  const req = new Request('application', uacRequest.method, uacRequest.callId, uacRequest.method !== 'INVITE');
  uacRequest.dispatchRequest.prepareRequest(uacRequest, req);
  host.deliver(() => {
    const res = new ReceivedResponse(req, uacRequest.acked);
    host.middleware(req, res, (err) => callbacks.response(err, req, res));
  });
  return req;
}

// The class of outgoing requests; each host has its own, because modules patch it.
function sipRequestClass() {
  class SipRequest {
    constructor(host, options) {
      this.agent = host;
      Object.assign(this, options);
    }

    send(options, callbacks) {
      return this.dispatchRequest(this.agent, this, options, callbacks);
    }
  }
  const dispatchRequest = dispatch.bind(null);
  dispatchRequest.prepareRequest = () => undefined;
  SipRequest.prototype.dispatchRequest = dispatchRequest;
  return SipRequest;
}

class Host {
  #queue = [];
  #drain = () => {
    const arrived = this.#queue;
    this.#queue = [];
    for (const arrive of arrived) arrive();
  };

  constructor() {
    this.SipRequest = sipRequestClass();
    this.middleware = undefined;
  }

  use(middleware) {
    this.middleware = middleware;
  }

  // A message arrives by the socket.
  deliver(arrive) {
    if (this.#queue.push(arrive) === 1) setImmediate(this.#drain);
  }

  // A request from the network -> handler(req, res); `sent` is called with the status of the final response.
  receive(method, id, handler, sent) {
    const req = new Request('network', method, id, method !== 'INVITE');
    const res = new Response(sent);
    this.middleware(req, res, (err) => {
      if (err) throw err;
      handler(req, res);
    });
  }

  // A request of the application, answered with 200; callback(err, req, res).
  siprequest(options, callback) {
    return new this.SipRequest(this, options).send(options, { response: callback });
  }
}

module.exports = { Host };
