// The SIP peers: a leg is one dialog as the far end sees it. A Call is begun by a peer, a Callee is what an INVITE (or
// SUBSCRIBE) of the application reaches. Scripts say how a peer answers; without one it accepts.
'use strict';

const { EventEmitter, once } = require('node:events');
const { SipMessage, tagOf, tagged, token } = require('./sip');

const SDP = (user) =>
  `v=0\r\no=${user} 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n` +
  'm=audio 46000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n';

// What a peer does with an INVITE or SUBSCRIBE unless a test sets something else.
async function accept(callee) {
  if (callee.method === 'SUBSCRIBE') return callee.respond(202, { headers: { Expires: 60 } });
  callee.respond(180);
  await new Promise((resolve) => {
    callee.server.hop(resolve);
  });
  return callee.respond(200, { body: SDP(callee.user) });
}

class Leg extends EventEmitter {
  // `local` is the peer's address with its tag, `remote` the application's, `user` the peer's
  constructor(server, fields) {
    super();
    Object.assign(this, { server, cseq: 0, inviteSeq: 0, applicationSeq: 0, requests: [], script: undefined }, fields);
  }

  get localTag() {
    return tagOf(this.local);
  }
  get remoteTag() {
    return tagOf(this.remote);
  }
  get contact() {
    return `<sip:${this.user}@${this.server.peerAddress}>`;
  }
  // whether the server knows the dialog
  get known() {
    return this.server.dialogs.get(this.dialogId) === this;
  }

  // A request of this peer, as a message. ACK and CANCEL have the number of their INVITE, CANCEL has its branch too (RFC 3261,
  // 9.1, 13.2.2.4).
  message(method, { uri = this.server.uri, to = this.remote, headers = {}, body } = {}) {
    const ofInvite = method === 'ACK' || method === 'CANCEL';
    const seq = ofInvite ? this.inviteSeq : ++this.cseq;
    if (method === 'INVITE') this.inviteSeq = seq;
    const branch = method === 'CANCEL' ? this.branch : `z9hG4bK${token()}`;
    if (method === 'INVITE') this.branch = branch;
    const own = {
      Via: `SIP/2.0/UDP ${this.server.peerAddress};branch=${branch};rport`,
      From: this.local,
      To: to
    };
    Object.assign(own, { 'Call-ID': this.callId, CSeq: `${seq} ${method}`, Contact: this.contact, 'Max-Forwards': 70 });
    return new SipMessage(`${method} ${uri} SIP/2.0`, { ...own, ...headers }, body);
  }

  // A request inside the dialog -> promise of the final response; a re-INVITE that is answered is acknowledged.
  async request(method, opts) {
    const response = await this.server.incoming.request(this, this.message(method, opts)).final;
    if (method === 'INVITE' && response.status < 300) this.ack(opts?.ack);
    return response;
  }

  ack(opts, transaction) {
    this.server.incoming.request(this, this.message('ACK', opts), transaction);
  }
  bye(opts) {
    return this.request('BYE', opts);
  }
  info(body, opts) {
    return this.request('INFO', { body, ...opts, headers: { 'Content-Type': 'text/plain', ...opts?.headers } });
  }
  reinvite(body, opts) {
    return this.request('INVITE', { body, ...opts });
  }

  // The session timer of this peer runs out (RFC 4028, 10), and the server hangs up both sides.
  sessionTimeout() {
    this.server.incoming.bye(this, 'Session timer expired');
  }

  // How this peer answers requests of the application: a status, or (leg, request) => status | {status, body, headers}
  // or a promise of it; undefined: never.
  onRequest(script) {
    this.script = script;
    return this;
  }

  // The first request of this method from the application, now or later: {method, message, body, answered}.
  async received(method) {
    return this.requests.find((entry) => entry.method === method) || (await once(this, method))[0];
  }

  take(message, respond) {
    const { method } = message;
    const entry = { method, message, body: message.body };
    const script = this.script ?? this.server.requestScript;
    if (method !== 'ACK') entry.answered = this.server.answer(script, this, entry, respond);
    this.requests.push(entry);
    this.emit(method, entry);
  }
}

// A call (or subscription) that a peer begins.
class Call extends Leg {
  constructor(server, method, opts = {}) {
    const { callId, tag = token(), from = 'caller', to = 'app', body, headers, ack = true, connectTo } = opts;
    const local = tagged(`"${from}" <sip:${from}@${server.peerAddress}>`, tag);
    super(server, {
      name: 'A',
      user: from,
      connectTo,
      callId: callId ?? `${token()}@a.example`,
      local,
      remote: `<sip:${to}@${server.sipAddress}>`
    });
    this.dialogId = `${this.callId};from-tag=${tag}`;
    this.method = method;
    this.responses = [];
    const message = this.message(method, {
      uri: `sip:${to}@${server.sipAddress}`,
      headers,
      body: body ?? (method === 'INVITE' ? SDP(from) : '')
    });
    this.transaction = server.incoming.request(this, message);
    this.final = this.transaction.final.then((response) => {
      if (ack && method === 'INVITE' && response.status < 300) this.ack(undefined, this.transaction.id);
      return response;
    });
  }

  // -> promise of the 2xx; any other final response rejects it
  get answered() {
    return this.final.then((response) => {
      if (response.status >= 300) throw new Error(`the call was answered ${response.status} ${response.reason}`);
      return response;
    });
  }

  // The first response of this status, now or later.
  async response(status) {
    return this.responses.find((response) => response.status === status) || (await once(this, String(status)))[0];
  }

  // -> promise of the final response: 487, or what had been sent before
  cancel(opts) {
    this.server.incoming.cancel(this, opts);
    return this.final;
  }

  // The server gives up waiting for the ACK (32 s, RFC 3261, 13.3.1.4) and hangs up both sides.
  ackTimeout() {
    this.server.incoming.bye(this, 'ACK timeout');
  }

  arrived(response) {
    this.responses.push(response);
    this.emit(String(response.status), response);
    this.emit('response', response);
  }
}

// The INVITE that reached `peer` goes to an application once more, with the same Call-ID and From (RFC 3261, 6: spiral).
function spiral(peer, { to = peer.user, ...opts } = {}) {
  const { server, invite } = peer;
  const from = invite.get('from');
  const call = new Call(server, invite.method, {
    callId: peer.callId,
    tag: tagOf(from),
    from: /sips?:([^@>;]*)@/.exec(from)?.[1],
    to,
    body: invite.body,
    ...opts
  });
  call.on('response', ({ status, body }) => peer.respond(status, { body, tag: call.remoteTag }));
  return call;
}

// What an INVITE (or SUBSCRIBE) of the application reaches.
class Callee extends Leg {
  constructor(server, request, transaction) {
    const [from, to, callId] = ['from', 'to', 'call-id'].map((name) => request.get(name));
    super(server, { name: 'B', user: /sips?:([^@>;]*)@/.exec(request.uri)?.[1] || 'callee', callId, remote: from });
    Object.assign(this, {
      method: request.method,
      invite: request,
      uri: request.uri,
      body: request.body,
      transaction,
      canceled: false
    });
    this.local = tagged(to, token());
    this.dialogId = `${callId};from-tag=${this.remoteTag}`;
    this.applicationSeq = parseInt(request.get('cseq'), 10);
    this.finished = false;
  }

  // Answers the INVITE; after a CANCEL, or the final response, it goes nowhere.
  respond(status, { tag, ...answer } = {}) {
    if (this.finished) return;
    this.finished = status >= 200;
    if (tag) this.local = tagged(this.local.replace(/;\s*tag=[^;]*/i, ''), tag);
    this.server.outgoing.respond(this.transaction, { status, ...answer });
  }

  // The INVITE comes back to an application, from a proxy of this peer (a spiral) -> the Call; its responses are this peer's.
  // `opts` as of server.call()
  comesBack(opts) {
    return spiral(this, opts);
  }

  // How this peer takes a CANCEL: (callee) => …; without it the INVITE is answered 487.
  onCancel(script) {
    this.cancelScript = script;
    return this;
  }

  cancel() {
    this.canceled = true;
    if (this.cancelScript) this.cancelScript(this);
    else this.respond(487);
    this.emit('CANCEL');
  }
}

module.exports = { Call, Callee, SDP, accept, spiral };
