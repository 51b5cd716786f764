'use strict';
// A private redis-server for a test: free loopback port, own directory, stopped by pid.

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { once } = require('node:events');
const { spawn } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');

async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

// also those are stopped that a test has not come to
const running = new Set();
process.once('exit', () => running.forEach((server) => server.kill('SIGKILL')));

class RedisServer {
  // `args`: more arguments for redis-server, such as ['--requirepass', 'secret']
  constructor(port, args = []) {
    this.port = port;
    this.host = '127.0.0.1';
    this.args = args;
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'drachtio-session-test-'));
  }

  static async start(...args) {
    const server = new RedisServer(await freePort(), args);
    await server.run();
    return server;
  }

  async run() {
    const fixed = ['--port', this.port, '--bind', this.host, '--dir', this.folder, '--save', '', '--appendonly', 'no'];
    const args = [...fixed, ...this.args].map(String);
    this.process = spawn('redis-server', args, { stdio: 'ignore' });
    this.process.on('error', () => undefined);
    running.add(this.process);
    for (let tries = 0; tries < 200; tries++) {
      const reply = await this.raw('PING').catch(() => '');
      if (reply.startsWith('+PONG') || reply.startsWith('-NOAUTH')) return;
      await sleep(25);
    }
    throw new Error(`redis-server did not answer on port ${this.port}: is it installed? (npm test installs it)`);
  }

  // The raw reply to an inline command, such as 'DBSIZE'; one packet of it.
  raw(command) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.port, this.host, () => socket.write(`${command}\r\n`));
      socket.once('data', (data) => {
        resolve(String(data));
        socket.destroy();
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed')));
    });
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
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    this.process.kill(signal);
    await gone;
    running.delete(this.process);
  }

  async stop() {
    await this.kill();
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

module.exports = { RedisServer, freePort };
