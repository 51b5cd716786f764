'use strict';
// A TCP proxy between the module and a server that goes wrong as it is told, at any byte, and can be mended again.
//
// Directions are 'toServer' (commands) and 'toClient' (replies). What is set here holds for connections that are open and
// for those to come; bytes are counted over all of them.

const net = require('node:net');
const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const { commandsIn } = require('./resp');

const DIRECTIONS = ['toServer', 'toClient'];
const both = (value) => ({ toServer: value, toClient: value });
// how much may wait in a direction before its sender has to
const BUFFERED = 1000;
const SLICE_MS = 10; // of a throttled direction

// One direction of one connection. What it has taken leaves in order.
class Flow {
  constructor(pair, direction, from, to) {
    Object.assign(this, { pair, direction, from, to, proxy: pair.proxy, queue: [], unread: Buffer.alloc(0) });
    from.on('data', (chunk) => this.take(chunk));
    from.on('end', () => this.take(null));
  }

  take(chunk) {
    this.queue.push({ chunk, due: Date.now() + this.proxy.delays[this.direction] });
    if (this.queue.length > BUFFERED) this.from.pause();
    if (this.queue.length === 1) this.run();
  }

  async run() {
    const { proxy, direction } = this;
    while (this.queue.length > 0) {
      const { chunk, due } = this.queue[0];
      if (due > Date.now()) await sleep(due - Date.now());
      while (proxy.stalled[direction]) await proxy.stalled[direction].promise;
      if (chunk === null) this.to.end();
      else if (proxy.rates[direction] > 0) await this.trickle(chunk);
      else this.pass(chunk);
      this.queue.shift();
    }
    this.from.resume();
  }

  async trickle(chunk) {
    const { proxy, direction } = this;
    for (let at = 0; at < chunk.length;) {
      const rate = proxy.rates[direction];
      const size = rate > 0 ? Math.max(1, Math.round((rate * SLICE_MS) / 1000)) : chunk.length;
      this.pass(chunk.subarray(at, at + size));
      at += size;
      await sleep(SLICE_MS);
    }
  }

  pass(chunk) {
    const { proxy, direction, pair } = this;
    if (proxy.swallows[direction]) {
      pair.maimed = true;
      return;
    }
    const point = proxy.points[direction][0];
    if (point && point.left <= chunk.length) {
      proxy.points[direction].shift();
      this.deliver(chunk.subarray(0, point.left));
      const rest = point.act(pair, chunk.subarray(point.left)) ?? chunk.subarray(point.left);
      point.reached.resolve();
      if (rest.length > 0) this.pass(rest);
      return;
    }
    if (point) point.left -= chunk.length;
    this.deliver(chunk);
  }

  deliver(chunk) {
    const { proxy, direction, pair } = this;
    if (proxy.changes[direction]) chunk = proxy.changes[direction](chunk, pair);
    proxy.passed[direction] += chunk.length;
    if (direction === 'toServer' && proxy.answer) {
      const { commands, rest } = commandsIn(Buffer.concat([this.unread, chunk]));
      this.unread = rest;
      for (const { words, bytes } of commands) {
        const reply = proxy.answer(words);
        const [socket, data] = reply === undefined ? [this.to, bytes] : [pair.client, reply];
        if (socket.writable) socket.write(data);
      }
      return;
    }
    if (this.to.writable && chunk.length > 0) this.to.write(chunk);
  }
}

// A connection of the module with the proxy's own to the server.
class Pair {
  constructor(proxy, client) {
    Object.assign(this, { proxy, client, maimed: false });
    this.server = net.connect({ port: proxy.target.port, host: proxy.target.host, allowHalfOpen: true });
    this.flows = [new Flow(this, 'toServer', client, this.server), new Flow(this, 'toClient', this.server, client)];
    for (const socket of [client, this.server]) {
      socket.setNoDelay(true);
      socket.on('error', () => this.reset());
      socket.on('close', () => this.closed());
    }
  }

  closed() {
    if (this.client.destroyed && this.server.destroyed) this.proxy.pairs.delete(this);
  }

  // RST in both directions
  reset() {
    for (const socket of [this.client, this.server]) {
      // Node never closes a socket that is reset while its FIN is on its way, and then never exits.
      if (socket.writableEnded) socket.destroy();
      else if (!socket.destroyed) socket.resetAndDestroy();
    }
  }

  // FIN in both directions, whatever is on its way
  cut() {
    for (const socket of [this.client, this.server]) {
      socket.end();
      socket.destroySoon();
    }
  }
}

class Proxy {
  // `target`: {host, port}, such as a RedisServer
  static async start(target) {
    const proxy = new Proxy(target);
    await proxy.listen();
    return proxy;
  }

  constructor(target) {
    Object.assign(this, { target, host: '127.0.0.1', port: 0, pairs: new Set(), accepted: 0 });
    this.passed = both(0);
    this.clear();
  }

  clear() {
    this.delays = both(0);
    this.rates = both(0);
    this.swallows = both(false);
    this.stalled = both(null);
    this.points = { toServer: [], toClient: [] };
    this.changes = both(null);
    this.answer = null;
    this.rejects = false;
  }

  async listen() {
    this.listener = net.createServer({ allowHalfOpen: true }, (client) => {
      this.accepted++;
      if (!this.rejects) return void this.pairs.add(new Pair(this, client));
      client.on('error', () => undefined);
      client.resetAndDestroy();
    });
    this.listener.listen(this.port, this.host);
    await once(this.listener, 'listening');
    this.port = this.listener.address().port;
  }

  // Everything is as on a good day again. Connections that have lost bytes are reset.
  async mend() {
    const { stalled } = this;
    this.clear();
    DIRECTIONS.forEach((direction) => stalled[direction]?.resolve());
    for (const pair of this.pairs) if (pair.maimed) pair.reset();
    if (!this.listener.listening) await (this.listens ??= this.listen());
    this.listens = null;
  }

  // ms that each byte takes, without holding up those behind it
  delay(ms, directions = DIRECTIONS) {
    for (const direction of [directions].flat()) this.delays[direction] = ms;
  }

  // bytes a second
  throttle(rate, directions = DIRECTIONS) {
    for (const direction of [directions].flat()) this.rates[direction] = rate;
  }

  // Accepts and swallows: what comes is lost.
  hang(directions = DIRECTIONS) {
    for (const direction of [directions].flat()) this.swallows[direction] = true;
  }

  // Holds what comes until it is mended.
  stall(directions = DIRECTIONS) {
    for (const direction of [directions].flat()) this.stalled[direction] ??= deferred();
  }

  reset() {
    for (const pair of this.pairs) pair.reset();
  }

  cut() {
    for (const pair of this.pairs) pair.cut();
  }

  // Connections that come are reset at once. Unlike refuse() it keeps the port, where others look for one.
  reject() {
    this.rejects = true;
  }

  // Nobody listens any more; connections that are open stay.
  async refuse() {
    if (!this.listener.listening) return;
    this.listener.close();
    while (this.listener.listening) await sleep(1);
  }

  // Does something when that many more bytes have passed: 'reset', 'cut', 'hang', 'stall', {corrupt: how many bytes},
  // {insert: text}, or (pair, rest) => what follows instead of the rest. Gives a promise that it has come to that.
  after(bytes, direction, action) {
    const reached = deferred();
    const ahead = this.points[direction].reduce((sum, { left }) => sum + left, 0);
    this.points[direction].push({ left: Math.max(0, bytes - ahead), act: this.act(direction, action), reached });
    return reached.promise;
  }

  act(direction, action) {
    if (typeof action === 'function') return action;
    if (action === 'reset' || action === 'cut') return (pair) => (pair[action](), Buffer.alloc(0));
    if (action === 'hang' || action === 'stall') return () => void this[action](direction);
    if (action.insert !== undefined) return (pair, rest) => Buffer.concat([Buffer.from(action.insert), rest]);
    return (pair, rest) => corrupted(rest, action.corrupt);
  }

  // From now on each chunk of a direction is what `change(chunk, pair)` makes of it; 'corrupt': nothing that makes sense.
  change(direction, change) {
    this.changes[direction] = change === 'corrupt' ? (chunk) => corrupted(chunk, chunk.length) : change;
  }

  // Answers commands in the server's place: `answer(words)` gives the bytes of a reply, or undefined for one that goes
  // to the server. Only where no reply is on its way when it begins, as replies have no other order than that.
  answerWith(answer) {
    this.answer = answer;
  }

  async stop() {
    await this.mend();
    this.listener.close();
    this.reset();
  }
}

// with its first `count` bytes flipped
function corrupted(bytes, count) {
  const copy = Buffer.from(bytes);
  for (let i = 0; i < Math.min(count, copy.length); i++) copy[i] ^= 0x55;
  return copy;
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve) => {
    made.resolve = resolve;
  });
  return made;
}

module.exports = { Proxy };
