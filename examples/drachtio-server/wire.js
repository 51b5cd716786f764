// The framing between drachtio-server and an application: `<bytes>#<message id>|<type>|…`, and behind CR LF, where there
// is one, a SIP message. The length is in bytes and counts what comes after the `#`.
'use strict';

const { randomUUID } = require('node:crypto');

const CRLF = '\r\n';

// One TCP connection of an application. Emits nothing by itself: `receive({id, fields, sip})` is called per message.
class Connection {
  constructor(socket, receive, traced) {
    Object.assign(this, { socket, receive, traced, received: Buffer.alloc(0), methods: new Set(), ready: false });
    socket.setNoDelay(true);
    socket.on('data', (data) => this.read(data));
    socket.on('error', () => undefined); // 'close' follows
  }

  get closed() {
    return this.socket.destroyed;
  }

  read(data) {
    this.received = this.received.length === 0 ? data : Buffer.concat([this.received, data]);
    for (;;) {
      const mark = this.received.indexOf('#');
      if (mark === -1) return;
      const end = mark + 1 + Number(this.received.toString('latin1', 0, mark));
      if (!Number.isInteger(end)) return this.socket.destroy(new Error('a message without its length'));
      if (this.received.length < end) return;
      const text = this.received.toString('utf8', mark + 1, end);
      this.received = this.received.subarray(end);
      this.traced('application', text);
      const line = text.indexOf(CRLF);
      const [id, ...fields] = (line === -1 ? text : text.slice(0, line)).split('|');
      this.receive(this, { id, fields, sip: line === -1 ? '' : text.slice(line + CRLF.length) });
    }
  }

  // `fields` are joined by `|`; `sip` is a SIP message, as text
  send(fields, sip) {
    if (this.closed) return;
    const text = [randomUUID(), ...fields].join('|') + (sip === undefined ? '' : CRLF + sip);
    this.traced('server', text);
    this.socket.write(`${Buffer.byteLength(text)}#${text}`);
  }
}

module.exports = { Connection };
