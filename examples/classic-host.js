// A scripted stand-in for the classic drachtio host (2014), written from the contract that existing applications rely
// on: the application's side (`app.use`, `app.invite`, `app.siprequest`) and, in place of the network, `app.peer`: SIP
// peers that are played in this process. Every hop between peer and application takes a turn of the event loop, as a
// socket would. It knows nothing of sessions: tests, benchmarks and examples put the module into it.
'use strict';

const { randomBytes } = require('node:crypto');
const { EventEmitter } = require('node:events');

const IN_DIALOG = ['ACK', 'BYE', 'CANCEL', 'INFO', 'NOTIFY', 'PRACK', 'UPDATE'];
const METHODS = [...IN_DIALOG, 'INVITE', 'OPTIONS', 'REGISTER', 'MESSAGE', 'SUBSCRIBE', 'PUBLISH', 'REFER'];
const REASONS = {
  100: 'Trying', 180: 'Ringing', 183: 'Session Progress', 200: 'OK', 202: 'Accepted', 302: 'Moved Temporarily',
  401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 407: 'Proxy Authentication Required', 408: 'Request Timeout',
  480: 'Temporarily Unavailable', 481: 'Call/Transaction Does Not Exist', 486: 'Busy Here', 487: 'Request Terminated',
  500: 'Server Internal Error', 503: 'Service Unavailable', 603: 'Decline'
}; // prettier-ignore

const token = () => randomBytes(6).toString('hex');
const hop = (fn) => setImmediate(fn);
const tagged = (address, tag) => (tag && !/;tag=/.test(address) ? `${address};tag=${tag}` : address);
const whenReturned = async (result, fn) => (await result, fn());
const lowered = (headers = {}) => Object.fromEntries(Object.entries(headers).map(([k, v]) => [k.toLowerCase(), v]));

// A message with headers: requests of either direction, and received responses.
class Message extends EventEmitter {
  constructor(headers, body) {
    super();
    this.headers = headers;
    this.body = body;
  }
  get(name) {
    return this.headers[name.toLowerCase()];
  }
  has(name) {
    return Object.hasOwn(this.headers, name.toLowerCase());
  }
  getParsedHeader(name) {
    const [, uri, rest] = /<(.*)>(.*)$/.exec(this.get(name)) || [];
    return uri ? { uri, params: Object.fromEntries(new URLSearchParams(rest.replaceAll(';', '&'))) } : this.get(name);
  }
}

class Request extends Message {
  constructor(source, { method, uri, headers, body }) {
    super(headers, body);
    this.method = method;
    this.uri = uri;
    this.source = source;
    this.id = headers['call-id'];
    this.canceled = false;
  }
  get active() {
    return !this.canceled;
  }
  get canFormDialog() {
    return (this.method === 'INVITE' || this.method === 'SUBSCRIBE') && !/;tag=/.test(this.get('to'));
  }
  isNewInvite() {
    return this.method === 'INVITE' && this.canFormDialog;
  }
}

// The application's answer to a request from the network. `send` here is the raw one: what it takes, leaves.
class Response {
  constructor(app, req, leg, arrived) {
    Object.assign(this, { app, req, leg, arrived, statusCode: undefined, finished: false, finalResponseSent: false });
  }
  send(...args) {
    const { app, req } = this;
    const { method, id: callId } = req;
    const [code, second] = args;
    const reason = typeof second === 'string' ? second : REASONS[code] || '';
    const { body, headers } = (second && typeof second === 'object' ? second : args[2]) || {};
    const record = { method, callId, statusCode: code, reason, body, headers: lowered(headers), args };
    const refuse = (message) => {
      app.refused.push({ ...record, why: message });
      throw new Error(message);
    };
    if (!Number.isInteger(code) || code < 100 || code > 699) refuse(`res.send: ${code} is not a SIP status code`);
    if (method === 'ACK') refuse('res.send: an ACK is never answered');
    // After the host's own 487 an answer finds no transaction: it goes nowhere, and that is not the handler's fault.
    if (this.finished && req.canceled) return void app.refused.push({ ...record, why: 'canceled' });
    if (this.finished)
      refuse(`res.send(${code}): the final response to this ${method}, ${this.statusCode}, has been sent`);
    this.statusCode = code;
    if (code >= 200) this.finished = this.finalResponseSent = true;
    if ((code >= 200 && method === 'BYE') || (code >= 300 && req.canFormDialog)) app.forget(this.leg);
    if (app.record) app.sent.push(record);
    app.trace('out', method, this.leg, callId, record);
    this.arrived(record);
  }
}

// What the application gets for a request of its own: `ack` is for the final response to an INVITE.
class ReceivedResponse extends Message {
  constructor(app, req, leg, statusCode, { reason = REASONS[statusCode] || '', headers, body } = {}) {
    const { from, to, cseq } = req.headers;
    super({ 'call-id': req.id, from, cseq, to: tagged(to, leg.tag), ...lowered(headers) }, body);
    Object.assign(this, { app, req, leg, statusCode, status: statusCode, reason });
  }
  ack(...args) {
    const { body, headers } = args.find((arg) => arg && typeof arg === 'object') || {};
    const callback = args.find((arg) => typeof arg === 'function');
    if (this.req.method !== 'INVITE' || this.statusCode < 200) throw new Error('res.ack: no final INVITE response');
    this.app.trace('out', 'ACK', this.leg, this.req.id, { body });
    hop(() => {
      this.leg.take({ method: 'ACK', headers: lowered(headers), body, args });
      if (callback) callback(null, this.req);
    });
  }
}

// One leg as the peer sees it: its tag, what the application sent to it (`requests`), and the peer's own requests.
class Leg extends EventEmitter {
  constructor(app, name, { callId, from, to, uri }) {
    super();
    Object.assign(this, { app, name, callId, from, to, uri, tag: token(), appTag: token(), cseq: 0, requests: [] });
  }
  // A request inside the dialog -> promise of the final response; of an ACK: resolves when the stack has run through.
  request(method, { headers, ...opts } = {}) {
    const from = tagged(this.from, this.tag);
    const to = method === 'CANCEL' ? this.to : tagged(this.to, this.appTag);
    const { callId, uri } = this;
    return this.app.peer.transmit(this, method, { callId, uri, ...opts, headers: { from, to, ...headers } });
  }
  bye(opts) {
    return this.request('BYE', opts);
  }
  // How this peer answers requests of the application: a status, or (leg, request) => status | {statusCode, body, ...}.
  onRequest(script) {
    this.script = script;
    return this;
  }
  // The first request of this method from the application, as {method, headers, body, answered}, now or later.
  async received(method) {
    return this.requests.find((entry) => entry.method === method) || (await EventEmitter.once(this, method))[0];
  }
  take(entry) {
    if (this.app.record) this.requests.push(entry);
    this.emit(entry.method, entry);
  }
}

// A call (or subscription) that a peer began: leg A.
class Call extends Leg {
  constructor(app, method, opts) {
    super(app, 'A', opts);
    this.method = method;
    this.responses = [];
    app.legs.set(this.callId, this);
    const headers = { from: tagged(this.from, this.tag), to: this.to, ...opts.headers };
    this.finalResponse = app.peer.transmit(this, method, { ...opts, headers }, this.responses);
  }
  final() {
    return this.finalResponse;
  }
  // The ACK of a rejected INVITE ends with the transaction: the application never sees it (RFC 3261 17.2.1).
  ack(opts) {
    const rejected = this.responses.some((response) => response.statusCode >= 300);
    return rejected ? Promise.resolve() : this.request('ACK', opts);
  }
  cancel(opts) {
    return this.request('CANCEL', opts);
  }
}

// The far end of a request that the application sent: leg B.
class Uac extends Leg {
  constructor(app, req, deliver) {
    super(app, 'B', { callId: req.id, from: req.get('to'), to: req.get('from'), uri: req.get('contact') });
    Object.assign(this, { req, body: req.body, deliver, canceled: false, finished: false, appTag: undefined });
  }
  // Answers the INVITE -> promise that resolves when the application's callback has run. Ignored after a CANCEL.
  async respond(statusCode, opts) {
    if (this.finished && this.canceled) return;
    if (this.finished) throw new Error(`this INVITE has had its final response, ${statusCode} is one too many`);
    this.finished = statusCode >= 200;
    await this.deliver(this.req, this, statusCode, opts);
  }
}

// The network's side of the application: scripts play the peers.
class Peer {
  constructor(app) {
    this.app = app;
    this.inviteScript = async (uac) => {
      uac.respond(180);
      await new Promise(hop);
      if (!uac.canceled) uac.respond(200, { body: 'v=0 (callee)' });
    };
    this.requestScript = 200;
  }
  address(opts) {
    const ids = { callId: `${token()}@a.example`, from: '<sip:caller@a.example>', to: '<sip:app@host.example>' };
    return { ...ids, uri: 'sip:app@host.example', ...opts };
  }
  invite(opts) {
    return new Call(this.app, 'INVITE', this.address(opts));
  }
  subscribe(opts) {
    return new Call(this.app, 'SUBSCRIBE', this.address(opts));
  }
  // Outside a dialog; with `toTag` as if inside one, which another host (another process) may have begun.
  request(method, { toTag, ...opts } = {}) {
    const { from, to, headers, ...rest } = this.address(opts);
    const leg = this.app.legs.get(rest.callId);
    const addressed = { from: tagged(from, token()), to: tagged(to, toTag), ...headers };
    return this.transmit(leg, method, { ...rest, headers: addressed });
  }
  onInvite(script) {
    this.inviteScript = script;
  }
  onRequest(script) {
    this.requestScript = script;
  }
  // Puts a request of a peer on the way to the application -> promise of the final response.
  transmit(leg, method, { callId, uri, headers: given, body }, responses = []) {
    const cseq = `${leg ? (leg.cseq += method === 'ACK' || method === 'CANCEL' ? 0 : 1) : 1} ${method}`;
    const headers = { 'call-id': callId, cseq, ...lowered(given) };
    const req = new Request('network', { method, uri, headers, body });
    return new Promise((resolve) => {
      const arrived = (response) => {
        responses.push(response);
        if (response.statusCode >= 200) hop(() => resolve(response));
      };
      const res = new Response(this.app, req, leg, arrived);
      if (leg && req.isNewInvite()) leg.invite = { req, res };
      hop(() => this.app.receive(req, res, leg, resolve));
    });
  }
}

class Host extends EventEmitter {
  // `record: false` keeps no lists, for long runs.
  constructor({ record = true } = {}) {
    super();
    this.record = record;
    this.stack = [];
    this.legs = new Map(); // Call-ID -> leg, while its dialog lives
    this.sent = []; // every response that left, in order: {method, callId, statusCode, reason, body, headers, args}
    this.refused = []; // and those that could not: the same, with `why`
    this.wire = []; // the options of every request that the application sent, as they went to the server
    this.peer = new Peer(this);
    this.SipRequest = sipRequestClass();
    this.siprequest = (...args) => this.originate('INVITE', ...args);
    for (const method of METHODS) {
      this[method.toLowerCase()] = (fn) => this.use(method, fn);
      this.siprequest[method.toLowerCase()] = (...args) =>
        typeof args[0] === 'string' ? this.originate(method, ...args) : this.originate(method, undefined, ...args);
    }
  }
  use(method, fn = method) {
    const named = typeof method === 'string';
    if (typeof fn !== 'function') throw new TypeError('use: a handler must be a function');
    if (named && !METHODS.includes(method.toUpperCase())) throw new TypeError(`use: no such SIP method: ${method}`);
    this.stack.push({ method: named ? method.toUpperCase() : undefined, fn });
    return this;
  }
  connect() {
    hop(() => this.emit('connect'));
    return this;
  }
  // 'failure' is for what a handler threw; without a listener it is printed.
  fail(err, req) {
    if (!this.emit('failure', err, req)) console.error(`${req.method} ${req.id}:`, err);
  }
  trace(direction, method, leg, callId, { statusCode, reason, body } = {}) {
    this.emit('message', { direction, method, statusCode, reason, callId, body, leg: leg ? leg.name : '-' });
  }
  forget(leg) {
    if (leg && this.legs.get(leg.callId) === leg) this.legs.delete(leg.callId);
  }
  // Runs a request, or a response to one of ours, through the layers; `done(err)` is called once, behind the last one.
  handle(req, res, done) {
    let index = 0;
    let ended = false;
    const end = (err) => {
      if (ended) return err && this.fail(err, req);
      ended = true;
      done(err);
    };
    const next = (err) => {
      const position = ++index;
      const layer = this.stack[position - 1];
      if (!layer) return end(err);
      // Handlers of a method are for requests from the network; plain layers see responses to our requests as well.
      const skip = layer.method && (layer.method !== req.method || req.source === 'application');
      if (skip || Boolean(err) !== layer.fn.length > 3) return next(err);
      try {
        const result = err ? layer.fn(err, req, res, next) : layer.fn(req, res, next);
        // An ACK has no answer: its stack has run through when its handler returned without going on.
        if (req.method === 'ACK' && layer.method) whenReturned(result, () => index === position && end());
      } catch (thrown) {
        next(thrown);
      }
    };
    next();
  }
  // A request arrives from the network.
  receive(req, res, leg, acked) {
    this.trace('in', req.method, leg, req.id, req);
    if (req.method === 'CANCEL') {
      // RFC 3261 9.2: 481 without a transaction; after the final response 200, without effect.
      const invite = leg && leg.invite;
      if (!invite || invite.res.finished) return Response.prototype.send.call(res, invite ? 200 : 481);
      Response.prototype.send.call(invite.res, 487); // the host's own: not through what wrapped the application's
      invite.req.canceled = true;
    }
    this.handle(req, res, (err) => {
      if (err) this.fail(err, req);
      if (req.method === 'ACK') return acked();
      if (res.finished) return;
      try {
        res.send(err ? 500 : req.method === 'CANCEL' ? 200 : 404);
      } catch (thrown) {
        this.fail(thrown, req);
      }
    });
  }
  // siprequest([uri][, options][, callback]); the options may have the uri.
  originate(...args) {
    const [method, uri] = args.filter((arg) => typeof arg === 'string' || arg === undefined);
    const opts = args.find((arg) => arg && typeof arg === 'object') || {};
    const callback = args.find((arg) => typeof arg === 'function') || (() => {});
    const uacRequest = new this.SipRequest(this, { ...opts, method: opts.method ?? method, uri: opts.uri ?? uri });
    return uacRequest.send(opts, { response: callback });
  }
  // A request of the application leaves for the peer, whose responses come back through the stack. It goes to the server
  // as JSON, with all of its options.
  depart(uacRequest, wire, { response: callback }, prepare) {
    if (this.record) this.wire.push(wire);
    const options = JSON.parse(wire);
    const method = uacRequest.method.toUpperCase();
    const given = lowered(options.headers);
    const callId = given['call-id'] || `${token()}@b.example`;
    const leg = this.legs.get(callId);
    const tag = leg ? leg.appTag : token();
    const uri = uacRequest.uri || (leg ? leg.uri : 'sip:callee@b.example');
    const from = leg ? tagged(leg.to, tag) : `<sip:app@host.example>;tag=${tag}`;
    const to = leg ? (method === 'CANCEL' ? leg.from : tagged(leg.from, leg.tag)) : `<${uri}>`;
    const headers = { 'call-id': callId, from, to, cseq: `1 ${method}`, contact: '<sip:app@host.example>', ...given };
    const req = new Request('application', { method, uri, headers, body: options.body });
    req.cancel = (...args) => this.originate('CANCEL', undefined, { headers: { 'call-id': callId } }, ...args);
    prepare(req);
    if (!leg && given['call-id'] && IN_DIALOG.includes(method)) {
      const err = Object.assign(new Error(`${method}: no dialog has the Call-ID ${callId}`), { code: 'ERR_NO_DIALOG' });
      hop(() => callback(err, req));
      return req;
    }
    const deliver = async (sent, far, statusCode, opts) => {
      await new Promise(hop);
      await new Promise((resolve) => {
        this.returned(sent, far, statusCode, opts, callback, resolve);
      });
    };
    const far = leg || new Uac(this, req, deliver);
    if (!leg) far.appTag = tag;
    if (req.isNewInvite()) this.legs.set(callId, far);
    this.trace('out', method, far, callId, req);
    hop(() => this.deliverTo(far, req, deliver));
    return req;
  }
  deliverTo(far, req, deliver) {
    if (req.isNewInvite()) return void this.peer.inviteScript(far);
    const entry = { method: req.method, headers: req.headers, body: req.body };
    if (req.method === 'CANCEL' && far.req && !far.finished) {
      far.canceled = far.req.canceled = true;
      far.respond(487);
    }
    const script = req.method === 'CANCEL' ? 200 : far.script || this.peer.requestScript;
    entry.answered = (async () => {
      const answer = typeof script === 'function' ? await script(far, entry) : script;
      const { statusCode, ...opts } = typeof answer === 'object' ? answer : { statusCode: answer };
      if (req.method !== 'ACK') await deliver(req, far, statusCode, opts);
    })();
    far.take(entry);
  }
  // A response arrives for a request that the application sent: the stack first, then the callback of siprequest.
  returned(req, far, statusCode, opts, callback, resolve) {
    const res = new ReceivedResponse(this, req, far, statusCode, opts);
    if ((req.method === 'BYE' && statusCode >= 200) || (req.isNewInvite() && statusCode >= 300)) this.forget(far);
    this.trace('in', req.method, far, req.id, res);
    this.handle(req, res, (err) => {
      try {
        callback(err, req, res);
      } catch (thrown) {
        process.nextTick(() => { throw thrown; }); // prettier-ignore
      }
      resolve();
    });
  }
}

// The class of outgoing requests, one for each host so that what hooks into it stays there.
function sipRequestClass() {
  const dispatchRequest = (agent, uacRequest, options, callbacks) =>
    agent.depart(uacRequest, JSON.stringify(options), callbacks, (req) => {
      const { prepareRequest = dispatchRequest.prepareRequest } = uacRequest.dispatchRequest;
      prepareRequest(uacRequest, req);
    });
  dispatchRequest.prepareRequest = () => {};

  class SipRequest {
    // All that was given to siprequest (a `session`, say) is a property of the request.
    constructor(agent, opts) {
      Object.assign(this, { agent }, opts);
    }
    send(options, callbacks) {
      return this.dispatchRequest(this.agent, this, options, callbacks);
    }
  }
  SipRequest.prototype.dispatchRequest = dispatchRequest;
  return SipRequest;
}

const host = (options) => new Host(options);

module.exports = Object.assign(host, { Request, Response });
