// A request that an application proxies (srf.proxyRequest): it reaches a peer, whose responses go back to the caller, and to
// the application as the results of the proxy.
'use strict';

const { SipMessage, tagOf, tagged, token } = require('./sip');
const { spiral } = require('./legs');

class Proxied {
  constructor(server, connection, id, { transaction, destination }) {
    const { leg, request: invite } = transaction;
    const user = /sips?:(?:([^@>;]*)@)?/.exec(destination)?.[1] || 'callee';
    Object.assign(this, {
      server,
      connection,
      id,
      transaction,
      leg,
      invite,
      uri: destination,
      user,
      callId: leg.callId
    });
    this.finished = false;
  }

  static send(server, connection, id, transactionId, destination) {
    const transaction = server.transactions.get(transactionId);
    if (!transaction?.incoming) return connection.send(['response', id, 'NOK', 'Unknown transaction']);
    transaction.leg.proxied = true;
    const proxied = new Proxied(server, connection, id, { transaction, destination });
    return server.hop(() => server.emit('proxied', proxied));
  }

  // Answers the caller, as Callee#respond. The requests of the dialog that a 2xx begins pass by the server.
  respond(status, { tag, headers = {}, body = '' } = {}) {
    const { connection, id, invite, leg, server, transaction } = this;
    if (this.finished) return;
    this.finished = status >= 200;
    if (this.finished && !server.transactions.delete(transaction.id)) return;
    leg.remote = tagged(leg.remote, tagOf(leg.remote) || tag || token());
    const own = { Via: invite.get('via'), From: invite.get('from'), To: leg.remote, 'Call-ID': leg.callId };
    const response = SipMessage.response(status, undefined, { ...own, CSeq: invite.get('cseq'), ...headers }, body);
    const text = response.toString();
    const meta = ['network', Buffer.byteLength(text), 'udp', ...server.peerAddress.split(':'), server.time()];
    connection.send(['response', id, 'OK', ...meta, transaction.id, '', 'continue'], text);
    if (this.finished) connection.send(['response', id, 'OK', 'done']);
    server.hop(() => {
      leg.arrived(response);
      if (status >= 200) transaction.resolve(response);
    });
  }

  // The INVITE comes back to an application -> the Call; its responses are this peer's.
  comesBack(opts) {
    return spiral(this, opts);
  }
}

module.exports = { Proxied };
