'use strict';
// A peer in a process of its own, seen from the parent: asks it for one thing at a time.

const path = require('node:path');
const { once } = require('node:events');
const { spawn } = require('node:child_process');
const peers = require('./peers');
const { onMeasured } = require('./pinning');
const { until } = require('../__test__/support/waiting');

const PATIENCE_MS = 300000;
const NODE_ARGS = ['--expose-gc', '--max-old-space-size=12288'];

const running = new Set();
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));

class PeerProcess {
  // A peer, open; `server` is the redis-server it uses. Undefined if this version has no such thing.
  static async start(id, server) {
    const peer = new PeerProcess(id, server);
    try {
      await peer.ask('open');
      return peer;
    } catch (err) {
      peer.child.kill('SIGKILL');
      if (err.code === 'ERR_SESSION_OPTION') return undefined;
      throw err;
    }
  }

  constructor(id, server) {
    this.id = id;
    this.server = peers[id].redis ? server : undefined;
    this.legs = peers[id].legs === true;
    // whether it is known to leave things behind
    this.loses = peers[id].loses === true;
    const args = [...NODE_ARGS, path.join(__dirname, 'child.js'), id, String(this.server?.port ?? 0)];
    const [program, given] = onMeasured(process.execPath, args);
    // warnings of peers are not the report's
    this.child = spawn(program, given, { stdio: ['ignore', 'inherit', 'ignore', 'ipc'] });
    running.add(this.child);
    this.child.once('exit', () => running.delete(this.child));
  }

  async ask(action, options) {
    const ended = new AbortController();
    const { signal } = ended;
    const patience = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE_MS);
    try {
      const answered = once(this.child, 'message', { signal });
      const gone = once(this.child, 'exit', { signal }).then(([code, by]) => {
        throw new Error(`${this.id}: its process ended during ${action} (${by || code})`);
      });
      this.child.send({ action, options });
      const [{ value, error }] = await Promise.race([answered, gone]);
      if (error) throw Object.assign(new Error(`${this.id}, ${action}: ${error.message}`), { code: error.code });
      return value;
    } finally {
      clearTimeout(patience);
      ended.abort();
    }
  }

  // Throws when something is left of what ran; what a peer is known to leave behind is removed. Removals that were sent
  // when the last call was over may still be on their way.
  async assertEmpty(expected = 0) {
    if (this.loses && this.server) return void (await this.server.raw('FLUSHALL'));
    const size = () => (this.server ? this.server.size() : this.ask('size'));
    await until(async () => (await size()) === expected, `${this.id} to leave nothing behind`);
  }

  async stop() {
    const gone = once(this.child, 'exit');
    this.child.send({ action: 'close' });
    const late = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(late);
  }
}

module.exports = PeerProcess;
