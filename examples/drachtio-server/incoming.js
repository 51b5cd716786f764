// Transactions that peers begin: their requests on the way to an application, and what it answers.
'use strict';

const { randomUUID } = require('node:crypto');
const { REWRITTEN, SipMessage, contactOf, formsDialog, tagOf, tagged, terminates, token } = require('./sip');

class Incoming {
  constructor(server) {
    this.server = server;
  }

  // Puts a request of a peer on its way -> its transaction, with `final`, a promise of the final response.
  request(leg, message, id = randomUUID()) {
    const first = leg.transaction === undefined && formsDialog(message.method);
    const transaction = { id, leg, request: message, first, incoming: true };
    transaction.final = new Promise((resolve) => {
      transaction.resolve = resolve;
    });
    this.server.hop(() => this.arrive(transaction));
    return transaction;
  }

  arrive(transaction) {
    const { server } = this;
    const { id, leg, request: message, first } = transaction;
    const { method } = message;
    const { known } = leg;
    const connection = known ? leg.connection : server.select(method, leg.connectTo);
    if (method === 'BYE' && known) server.ended(leg, 'network', 'normal-release', message);
    // the dialog of a proxied call passes by the application
    if (!first && leg.proxied) return transaction.resolve(SipMessage.response(200));
    // Dialogs are told apart by Call-ID and From tag alone: of two legs that have one id (a spiral), one is known.
    if (!first && server.isHidden(leg)) return transaction.resolve(SipMessage.response(481));
    // a dialog belongs to one connection; when that is gone, the server answers by itself
    if (!connection || connection.closed) {
      return transaction.resolve(SipMessage.response(known ? 481 : 503));
    }
    transaction.connection = connection;
    if (method === 'ACK') transaction.resolve();
    else server.transactions.set(id, transaction);
    if (first && method === 'INVITE') server.cdr('attempt', 'network', undefined, message);
    server.hand(connection, 'network', message, {
      protocol: method === 'ACK' ? '' : 'udp',
      transaction: id,
      dialogId: known ? leg.dialogId : '',
      receivedOn: known ? undefined : server.sipAddress
    });
    return undefined;
  }

  // A CANCEL: the server itself answers it and ends the INVITE with 487, the application only hears of it.
  cancel(leg, opts) {
    this.server.hop(() => this.canceled(leg, opts));
  }

  canceled(leg, opts) {
    const { server } = this;
    const { transaction } = leg;
    if (!server.transactions.delete(transaction.id)) return;
    const { request, connection } = transaction;
    const message = leg.message('CANCEL', { uri: request.uri, to: request.get('to'), ...opts });
    const dialogId = leg.known ? leg.dialogId : '';
    server.hand(connection, 'network', message, { transaction: transaction.id, dialogId });
    server.ended(leg, 'network', 'call-canceled', message);
    const response = SipMessage.response(487);
    server.hop(() => {
      leg.arrived(response);
      transaction.resolve(response);
    });
  }

  // The server hangs up by itself: the application gets the BYE as it was sent, and can't answer it.
  bye(leg, reason) {
    const { server } = this;
    const message = new SipMessage(`BYE sip:${leg.user}@${server.peerAddress} SIP/2.0`, {
      Via: `SIP/2.0/UDP ${server.sipAddress};rport;branch=z9hG4bK${token()}`,
      From: leg.remote,
      To: leg.local,
      'Call-ID': leg.callId,
      CSeq: `${++leg.applicationSeq} BYE`,
      Reason: `SIP ;cause=200 ;text="${reason}"`
    });
    server.ended(leg, 'application', 'ack-timeout', message);
    leg.take(message, () => undefined);
    server.hand(leg.connection, 'application', message, { transaction: 'unsolicited', dialogId: leg.dialogId });
  }

  // The application answers: Via, tags, Contact are filled in.
  response(connection, id, transactionId, message) {
    const { server } = this;
    const transaction = server.transactions.get(transactionId);
    if (!transaction?.incoming) {
      return connection.send(['response', id, 'NOK', 'Response not sent due to unknown transaction']);
    }
    const { leg, request, first } = transaction;
    const { method } = request;
    const { status } = message;
    if (status >= 200) server.transactions.delete(transactionId);
    leg.remote = tagged(leg.remote, tagOf(message.get('to')) || token());
    const headers = [
      ['Via', request.get('via')],
      ['From', request.get('from')],
      ['To', leg.remote],
      ['Call-ID', leg.callId],
      ['CSeq', request.get('cseq')]
    ];
    if (status >= 200 && status < 300 && formsDialog(method)) {
      headers.push(['Contact', contactOf(message, server.sipAddress)]);
    }
    headers.push(...message.without(...REWRITTEN));
    const response = SipMessage.response(status, message.reason, headers, message.body);
    if (first && status > 100) server.establish(leg, connection, status, request, response);
    if (status >= 200 && terminates(leg, request)) server.forget(leg);
    server.sent(connection, id, response, {
      protocol: method === 'INVITE' ? 'udp' : '',
      address: server.peerAddress,
      ids: [transactionId, leg.known ? leg.dialogId : '', '']
    });
    server.hop(() => {
      if (leg.transaction === transaction) leg.arrived(response);
      if (status >= 200) transaction.resolve(response);
    });
    return undefined;
  }
}

module.exports = { Incoming };
