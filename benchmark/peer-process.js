'use strict';
// A peer in a process of its own, as the parent sees it: sends it one action at a time.

const path = require('node:path');
const { once } = require('node:events');
const { spawn } = require('node:child_process');
const { THIS_BUILD, onOtherBuild } = require('./builds');
const peers = require('./peers');
const { onMeasured } = require('./pinning');
const { until } = require('../__test__/support/waiting');

const PATIENCE_MS = 300000;
const NODE_ARGS = ['--expose-gc', '--max-old-space-size=12288'];

const running = new Set();
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));

class PeerProcess {
  // An open peer; `server` is the Redis server it uses, `root` the folder of the build. Undefined if the build has no such
  // store.
  static async start(id, server, root = THIS_BUILD) {
    const peer = new PeerProcess(id, server, root);
    try {
      await peer.ask('open');
      return peer;
    } catch (err) {
      peer.child.kill('SIGKILL');
      if (err.code === 'ERR_SESSION_OPTION') return undefined;
      throw err;
    }
  }

  constructor(id, server, root) {
    this.id = root === THIS_BUILD ? id : onOtherBuild(id);
    this.server = peers[id].redis ? server : undefined;
    this.legs = peers[id].legs === true;
    // whether its algorithm loses changes and leaves keys behind
    this.loses = peers[id].loses === true;
    const args = [...NODE_ARGS, path.join(__dirname, 'child.js'), id, String(this.server?.port ?? 0), root];
    const [program, given] = onMeasured(process.execPath, args);
    // stderr is ignored: warnings of peers are not part of the report
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

  // Throws if sessions are left when all calls have ended; those of a peer that is known to leave some are removed. Redis may
  // not have executed the last removals yet.
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
