'use strict';
// A conversation between a drachtio server and an application, as lines that are the same for the same behaviour: ids,
// tags, times, ports and lengths have symbolic names, what is free (Via, order of headers, bodies) is left out.

// What is different each time anyhow, or up to the writer of it.
const FREE = /^(?:via|max-forwards|contact|content-length|content-type|user-agent|expires|subject|reason)$/i;

// [{from, text}] of a file in __test__/srf/recorded
function recorded(content) {
  return content
    .split(/^(?=APP {3}-> |SERVER-> )/m)
    .filter(Boolean)
    .map((part) => {
      const [first, ...rest] = part.trimEnd().split('\n');
      const from = first.startsWith('APP') ? 'application' : 'server';
      const sip = rest.map((line) => line.slice(4));
      if (rest.length > 0 && !sip.includes('')) sip.push('', '');
      return { from, text: [first.slice('SERVER-> '.length), ...sip].join('\r\n') };
    });
}

class Conversation {
  constructor(messages) {
    this.messages = messages.map(({ from, text }) => {
      const [leader, ...lines] = text.split('\r\n');
      const [id, ...fields] = leader.split('|');
      const end = lines.indexOf('');
      const headers = (end === -1 ? lines.slice(1) : lines.slice(1, end)).map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      });
      const sip = lines.join('\r\n');
      return { from, id, fields, start: lines[0], headers: new Map(headers), hasBody: /\r\n\r\n./s.test(sip), sip };
    });
    this.names = new Map();
    this.name();
  }

  // Names by what is the same in every run: the first Call-ID is leg A's, the second leg B's; a transaction has the name
  // of its first message.
  name() {
    const { names } = this;
    const seqs = new Map();
    for (const { from, fields, headers, start } of this.messages) {
      const callId = headers.get('call-id');
      if (from !== 'server' || !callId) continue;
      if (!names.has(callId)) names.set(callId, names.size === 0 ? 'A' : `B${names.size > 1 ? names.size : ''}`);
      const leg = names.get(callId);
      for (const side of ['from', 'to']) {
        const tag = /;tag=(.*)/.exec(headers.get(side))?.[1];
        if (tag && !names.has(tag)) names.set(tag, `${leg}.${side}`);
      }
      const [seq, method] = headers.get('cseq').split(' ');
      if (!seqs.has(leg)) seqs.set(leg, Number(seq));
      names.set(seq, String(Number(seq) - seqs.get(leg) + 1));
      const transaction = fields[0] === 'sip' ? fields[7] : fields[9];
      if (!names.has(transaction)) names.set(transaction, `<${leg} ${method} ${names.get(seq)}>`);
      if (method !== start.split(' ')[0] && !start.startsWith('SIP/2.0'))
        throw new Error(`${start} with CSeq ${method}`);
    }
  }

  plain(text) {
    return text
      .replace(/127\.0\.0\.1:\d+|localhost/g, 'HOST')
      .replace(/[\w.:@+-]+/g, (word) => this.names.get(word) ?? word)
      .replace(/v0\.9\.10[\w-]*/, 'VERSION');
  }

  describe({ fields, start, headers, hasBody }) {
    const shown = fields.map((field) => {
      if (/^\d\d:\d\d:\d\d\.\d{6}$/.test(field)) return 'TIME';
      if (/^\d{3,5}$/.test(field)) return 'N';
      const answered = this.messages.find(({ id }) => id === field);
      return answered ? `[${answered.fields[0]} ${answered.start ?? answered.fields[1]}]` : this.plain(field);
    });
    const kept = [...headers]
      .filter(([name]) => !FREE.test(name))
      .map(([name, value]) => `${name}: ${this.plain(value)}`);
    return this.plain(
      [shown.join('|'), start, ...kept.toSorted(), hasBody ? 'body' : undefined].filter(Boolean).join('\n  ')
    );
  }

  // The lines in their order, of each kind by itself: between kinds (the two legs, answers and requests, the two sides)
  // the order is that of independent packets.
  get kinds() {
    const kinds = {};
    for (const message of this.messages) {
      const text = this.describe(message);
      const callId = message.headers.get('call-id');
      const kind = `${message.from} ${message.fields[0]} ${callId ? this.names.get(callId) : ''}`;
      (kinds[kind] ||= []).push(text);
    }
    return kinds;
  }
}

module.exports = { Conversation, recorded };
