// SIP messages as far as a scripted server needs them: read, changed, written (RFC 3261, 7).
'use strict';

const { randomBytes } = require('node:crypto');

const CRLF = '\r\n';
const REASONS = {
  100: 'Trying', 180: 'Ringing', 183: 'Session Progress', 200: 'OK', 202: 'Accepted', 302: 'Moved Temporarily',
  401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 407: 'Proxy Authentication Required', 408: 'Request Timeout',
  480: 'Temporarily Unavailable', 481: 'Call/Transaction Does Not Exist', 486: 'Busy Here', 487: 'Request Terminated',
  500: 'Server Internal Error', 503: 'Service Unavailable', 603: 'Decline'
}; // prettier-ignore

class SipMessage {
  // `headers`: [name, value] pairs or an object; what is undefined is left out
  constructor(start, headers = [], body = '') {
    this.start = start;
    this.headers = [];
    this.body = body;
    for (const [name, value] of Array.isArray(headers) ? headers : Object.entries(headers)) this.add(name, value);
  }

  static parse(text) {
    const end = text.indexOf(CRLF + CRLF);
    const [start, ...lines] = (end === -1 ? text : text.slice(0, end)).split(CRLF).filter(Boolean);
    const headers = lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    });
    return new SipMessage(start, headers, end === -1 ? '' : text.slice(end + 4));
  }

  static response(status, reason = REASONS[status] || 'Unknown', headers = [], body = '') {
    return new SipMessage(`SIP/2.0 ${status} ${reason}`, headers, body);
  }

  get isResponse() {
    return this.start.startsWith('SIP/2.0 ');
  }
  get method() {
    return this.start.slice(0, this.start.indexOf(' '));
  }
  get uri() {
    return this.start.split(' ')[1];
  }
  get status() {
    return Number(this.start.split(' ')[1]);
  }
  get reason() {
    return this.start.split(' ').slice(2).join(' ');
  }

  get(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([known]) => known.toLowerCase() === wanted)?.[1];
  }

  add(name, value) {
    if (value !== undefined) this.headers.push([name, String(value)]);
    return this;
  }

  // The headers but those named, for a message that is written anew.
  without(...names) {
    return this.headers.filter(([name]) => !names.includes(name.toLowerCase()));
  }

  toString() {
    const lines = this.headers.filter(([name]) => name.toLowerCase() !== 'content-length');
    if (this.body && !this.get('content-type')) lines.push(['Content-Type', 'application/sdp']);
    lines.push(['Content-Length', Buffer.byteLength(this.body)]);
    return [this.start, ...lines.map(([name, value]) => `${name}: ${value}`), '', this.body].join(CRLF);
  }
}

const token = (bytes = 8) => randomBytes(bytes).toString('hex');
const tagOf = (address) => /;\s*tag=([^;>\s]+)/i.exec(address || '')?.[1];
const tagged = (address, tag) => (tag && !tagOf(address) ? `${address};tag=${tag}` : address);
// An address in angle brackets, so that a tag is the header's parameter and not the URI's (RFC 3261, 20).
const bracketed = (address) => (address.includes('<') ? address : `<${address.split(';')[0]}>`);

const formsDialog = (method) => method === 'INVITE' || method === 'SUBSCRIBE';
// Whether a NOTIFY ends the subscription that began the dialog (RFC 6665, 4.4.1).
const terminates = (leg, request) =>
  leg.method === 'SUBSCRIBE' &&
  request.method === 'NOTIFY' &&
  /^\s*terminated/i.test(request.get('subscription-state') || '');

// what the server writes itself into whatever an application sends
const REWRITTEN = ['via', 'max-forwards', 'from', 'to', 'call-id', 'cseq', 'contact', 'content-length'];
const contactOf = (message, address) => {
  const given = message.get('contact');
  return given ? bracketed(given).replace('@localhost', `@${address}`) : `<sip:${address}>`;
};

// prettier-ignore
module.exports = { REWRITTEN, SipMessage, bracketed, contactOf, formsDialog, tagOf, tagged, terminates, token };
