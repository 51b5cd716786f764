// A scripted drachtio server: it speaks drachtio-server's protocol over TCP with real applications (drachtio-srf 4 and 5)
// and plays the SIP peers itself, in this process. Written from conversations recorded with the real server. Tests, the
// demo and the examples run on it: `const server = await DrachtioServer.start()`, `server.call()`, `server.onInvite(…)`.
'use strict';

const net = require('node:net');
const { EventEmitter, once } = require('node:events');
const { Connection } = require('./wire');
const { Call, SDP, accept } = require('./legs');
const { Incoming } = require('./incoming');
const { Outgoing } = require('./outgoing');
const { Proxied } = require('./proxied');
const { SipMessage } = require('./sip');

const SECRET = 'cymru';
const VERSION = 'v0.9.10';

const time = () => `${new Date().toISOString().slice(11, 23)}000`;

// Emits 'callee' (an application's INVITE has reached a peer), 'proxied' (so has one that it proxies), 'sip' (direction, message) for each SIP message between
// server and application, and 'wire' (from, text) for whatever goes over a connection.
class DrachtioServer extends EventEmitter {
  constructor() {
    super();
    this.connections = new Set();
    this.dialogs = new Map(); // stack dialog id -> leg
    this.transactions = new Map(); // id -> what waits for its final response, of either direction
    this.turns = new Map(); // method -> how many requests have been handed out
    this.sipAddress = '127.0.0.1:5060';
    this.peerAddress = '127.0.0.1:5070';
    this.uri = `sip:${this.sipAddress}`;
    this.incoming = new Incoming(this);
    this.outgoing = new Outgoing(this);
    this.inviteScript = accept;
    this.requestScript = (leg, { method, body }) => ({
      status: 200,
      body: method === 'INVITE' && body ? SDP('peer') : ''
    });
    this.listener = net.createServer((socket) => this.connect(socket));
  }

  static async start() {
    const server = new DrachtioServer();
    server.listener.listen(0, '127.0.0.1');
    await once(server.listener, 'listening');
    return server;
  }

  // what an application gives to `srf.connect`
  get connectOptions() {
    return { host: '127.0.0.1', port: this.listener.address().port, secret: SECRET };
  }

  async stop() {
    this.disconnect();
    this.listener.close();
    await once(this.listener, 'close');
  }

  // As after a crash: connections are gone, dialogs and transactions forgotten. Applications connect again by themselves.
  restart() {
    this.disconnect();
    this.dialogs.clear();
    this.transactions.clear();
  }

  disconnect() {
    for (const { socket } of this.connections) socket.destroy();
    this.connections.clear();
  }

  // Resolves when `count` applications have asked for requests of all these methods.
  async routed(methods, count = 1) {
    const wanted = [methods].flat().map((method) => method.toLowerCase());
    const have = () => [...this.connections].filter(({ methods: known }) => wanted.every((one) => known.has(one)));
    while (have().length < count) await once(this, 'route');
  }

  // ---- what tests and demos say

  // An INVITE of a peer: {callId, tag, from, to, body, headers, ack: false to hold the ACK back, connectTo: the connection of
  // the application that gets it, in place of the next in turn}
  call(opts) {
    return new Call(this, 'INVITE', opts);
  }
  subscribe({ headers, ...opts } = {}) {
    return new Call(this, 'SUBSCRIBE', { ...opts, headers: { Event: 'presence', Expires: 60, ...headers } });
  }
  // A request outside a dialog: a Call that is over with its final response.
  request(method, opts) {
    return new Call(this, method, opts);
  }
  // How peers take an INVITE or SUBSCRIBE: (callee) => …, which calls callee.respond(status, {body, headers})
  onInvite(script) {
    this.inviteScript = script;
  }
  // and any other request: as Leg#onRequest; outside a dialog the leg is undefined
  onRequest(script) {
    this.requestScript = script;
  }
  // The next INVITE or SUBSCRIBE of an application.
  async callee() {
    return (await once(this, 'callee'))[0];
  }
  // The next request that an application proxies; it rings until the test answers it.
  async proxied() {
    return (await once(this, 'proxied'))[0];
  }

  // The way between server and peer takes two turns of the event loop, so that, as from a real network, an answer does not
  // come in one packet with what it answers.
  hop(arrive) {
    setImmediate(() => setImmediate(arrive));
  }

  // now, as the server's messages have it
  time() {
    return time();
  }

  // Asks a script for its answer to a request of the application -> promise of the status.
  async answer(script, leg, entry, respond) {
    const given = await (typeof script === 'function' ? script(leg, entry) : script);
    const answer = typeof given === 'number' ? { status: given } : given;
    if (answer) respond(answer);
    return answer?.status;
  }

  // ---- applications

  connect(socket) {
    const traced = (from, text) => this.emit('wire', from, text);
    const connection = new Connection(socket, (...args) => this.receive(...args), traced);
    this.connections.add(connection);
    socket.on('close', () => this.connections.delete(connection));
  }

  // Requests go round the applications per method, as on the real server, unless a test says where this one goes.
  select(method, connectTo) {
    const wanted = method.toLowerCase();
    const able = [...this.connections].filter(({ methods }) => methods.has(wanted));
    if (connectTo && able.includes(connectTo)) return connectTo;
    const turn = this.turns.get(wanted) || 0;
    this.turns.set(wanted, turn + 1);
    return able[turn % able.length];
  }

  receive(connection, { id, fields, sip }) {
    const reply = (...result) => connection.send(['response', id, ...result]);
    const [type, first, second] = fields;
    if (type !== 'authenticate' && !connection.ready) return connection.socket.destroy();
    switch (type) {
      case 'authenticate':
        if (first !== SECRET) return reply('NOK', 'incorrect secret');
        connection.ready = true;
        return reply('OK', `udp/${this.sipAddress}`, VERSION, `udp/${this.sipAddress}`);
      case 'route':
        connection.methods.add(first.toLowerCase());
        reply('OK');
        return this.emit('route', first);
      case 'remove_route':
        connection.methods.delete(first.toLowerCase());
        return reply('OK');
      case 'ping':
        return reply('OK');
      case 'sip': {
        const message = SipMessage.parse(sip);
        if (message.isResponse) return this.incoming.response(connection, id, first, message);
        return this.outgoing.request(connection, id, { transactionId: first, dialogId: second, message });
      }
      case 'proxy': {
        const [, transactionId, , , , , , , destination] = fields;
        return Proxied.send(this, connection, id, transactionId, destination);
      }
      default:
        return reply('NOK', `Unknown message type: ${type}`);
    }
  }

  // The answer to a message of the application that has left: with the message as it was sent.
  sent(connection, id, message, { protocol = 'udp', address = this.sipAddress, ids }) {
    const text = message.toString();
    const meta = ['application', Buffer.byteLength(text), protocol, ...address.split(':'), time()];
    meta.push(...ids, 'Msg sent:', '');
    connection.send(['response', id, 'OK', ...meta], text);
    this.emit('sip', 'application', message);
  }

  // A SIP message for the application.
  hand(connection, source, message, { protocol = 'udp', transaction, dialogId = '', receivedOn }) {
    const text = message.toString();
    const [host, port] = this.peerAddress.split(':');
    const meta = [source, Buffer.byteLength(text), protocol, host, port, time(), transaction, dialogId];
    if (receivedOn) meta.push(...receivedOn.split(':'));
    connection.send(['sip', ...meta, ''], text);
    this.emit('sip', source, message);
  }

  // ---- dialogs

  // A response to the INVITE (or SUBSCRIBE) begins an early dialog, confirms it, or ends it (RFC 3261, 12.1).
  establish(leg, connection, status, { method }, response) {
    const incoming = leg instanceof Call;
    const source = incoming ? 'network' : 'application';
    if (status >= 300) return this.ended(leg, source, 'call-rejected', response);
    leg.connection = connection;
    // of forks that have one id, the one that is answered has the dialog
    leg.confirmed = status >= 200;
    const other = this.dialogs.get(leg.dialogId);
    if (leg.confirmed || !other?.confirmed) this.dialogs.set(leg.dialogId, leg);
    if (status >= 200 && method === 'INVITE') this.cdr('start', source, incoming ? 'uas' : 'uac', response);
    return undefined;
  }

  // Whether another leg has the dialog id of this one.
  isHidden(leg) {
    return !leg.known && this.dialogs.has(leg.dialogId);
  }

  forget(leg) {
    if (leg.known) this.dialogs.delete(leg.dialogId);
  }

  ended(leg, source, reason, message) {
    this.forget(leg);
    if (leg.method === 'INVITE') this.cdr('stop', source, reason, message);
  }

  // Call detail records go to one of the applications that asked for them, which need not be the one that had the call.
  cdr(event, source, detail, message) {
    const connection = this.select(`cdr:${event}`);
    const fields = [`cdr:${event}`, source, time()];
    if (detail) fields.push(detail);
    connection?.send(fields, message.toString());
  }
}

module.exports = { DrachtioServer, SDP };
