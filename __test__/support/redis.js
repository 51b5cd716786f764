'use strict';
// A private redis-server, for tests and the demo: free loopback port, own directory, no persistence, stopped by pid.

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { spawn } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');
const { isOver } = require('./machine');

// Below the ports that systems give to outgoing connections: one that is free now is not taken by the next of those.
const PORTS = { first: 10000, count: 20000 };
const LOOK_MS = 25;
const PATIENCE_MS = 5000;

async function isFree(port) {
  const probe = net.createServer();
  const outcome = new Promise((resolve) => {
    probe.once('listening', () => resolve(true)).once('error', () => resolve(false));
  });
  probe.listen(port, '127.0.0.1');
  if (!(await outcome)) return false;
  probe.close();
  await once(probe, 'close');
  return true;
}

async function freePort() {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (await isFree(port)) return port;
  }
}

// All names in Redis, without the tombstones of young sessions that another process has removed.
const NAMES = `
  local names = {}
  for _, key in ipairs(redis.call('KEYS', '*')) do
    local tombstone = redis.call('TYPE', key).ok == 'hash' and redis.call('HEXISTS', key, 'gone')
    if not tombstone or redis.call('HLEN', key) > tombstone then names[#names + 1] = key end
  end
  return names`;

// The raw reply of the server on a port to an inline command, such as 'DBSIZE'; one packet of it.
function ask(port, command, host = '127.0.0.1') {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, host, () => socket.write(`${command}\r\n`));
    socket.once('data', (data) => {
      resolve(String(data));
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed')));
  });
}

// Servers that were not stopped when the process ends: they are, and their folders are removed.
const running = new Set();
process.once('exit', () => running.forEach((server) => server.abandon()));

class RedisServer {
  // `args`: more arguments for redis-server, such as ['--requirepass', 'secret']
  constructor(port, args = []) {
    this.port = port;
    this.host = '127.0.0.1';
    this.args = args;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'drachtio-session-test-'));
  }

  static async start(...args) {
    for (let tries = 1; ; tries++) {
      const server = new RedisServer(await freePort(), args);
      try {
        await server.run();
        return server;
      } catch (err) {
        // another process may have taken the port in between
        if (!server.hasEnded() || server.failure || tries === 3) throw err;
      }
    }
  }

  async run() {
    const fixed = ['--port', this.port, '--bind', this.host, '--dir', this.folder, '--save', '', '--appendonly', 'no'];
    const args = [...fixed, ...this.args].map(String);
    this.process = spawn('redis-server', args, { stdio: 'ignore' });
    running.add(this);
    this.process.on('error', (err) => (this.failure = err));
    const begun = Date.now();
    while (!this.failure && !this.hasEnded() && !isOver(begun, PATIENCE_MS)) {
      if (await this.answers()) return;
      await sleep(LOOK_MS);
    }
    const why = this.hasEnded() ? 'ended' : 'did not answer';
    this.abandon();
    throw new Error(
      this.failure
        ? 'redis-server was not found: install it (Debian: sudo apt-get install redis-server, macOS: brew install redis)'
        : `redis-server ${why} on port ${this.port}`
    );
  }

  // Whether it is this server that answers on the port.
  async answers() {
    const reply = await this.raw('PING').catch(() => '');
    if (reply.startsWith('-NOAUTH')) return true;
    if (!reply.startsWith('+PONG')) return false;
    const info = await this.raw('INFO server').catch(() => '');
    return info.includes(`process_id:${this.process.pid}\r`);
  }

  hasEnded() {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  raw(command) {
    return ask(this.port, command, this.host);
  }

  // The raw reply to a command whose words may hold anything.
  command(...words) {
    const bulk = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    return this.raw(`*${words.length}\r\n${bulk.join('')}`);
  }

  // The names of what is stored, without tombstones.
  async names() {
    return (await this.cli('EVAL', NAMES, '0')).split('\n').filter(Boolean).toSorted();
  }

  // The reply of redis-cli, text without the last line break.
  cli(...args) {
    return new Promise((resolve, reject) => {
      const cli = spawn('redis-cli', ['-p', String(this.port), ...args.map(String)]);
      let text = '';
      cli.stdout.on('data', (data) => (text += data));
      cli.on('error', reject);
      cli.on('close', () => resolve(text.replace(/\n$/, '')));
    });
  }

  async size() {
    return Number((await this.raw('DBSIZE')).slice(1));
  }

  async kill(signal = 'SIGKILL') {
    if (this.hasEnded()) return;
    const gone = once(this.process, 'exit');
    this.process.kill(signal);
    await gone;
  }

  // It takes connections and commands and answers none, until resume().
  pause() {
    this.process.kill('SIGSTOP');
  }

  resume() {
    this.process.kill('SIGCONT');
  }

  // As after a crash: the same port and folder, with what was on disk.
  async restart() {
    await this.kill();
    await this.run();
  }

  async stop() {
    await this.kill();
    this.abandon();
  }

  abandon() {
    running.delete(this);
    this.process.kill('SIGKILL');
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

module.exports = { RedisServer, ask, freePort };
