'use strict';
// Finds redis-server, or installs it: with apt-get as root or passwordless sudo, or with Homebrew on macOS. Starts one.

const net = require('node:net');
const { once } = require('node:events');
const { spawn } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');
const { SetupError, run, works } = require('./setup');

// Debian's package starts a service and enables it at boot. Tests start servers of their own, so neither is wanted: a
// policy-rc.d that says no (unless the machine has its own) keeps it from starting, and what we enabled is disabled.
const APT_INSTALL = `set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' INT TERM HUP
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
apt-get update -o DPkg::Lock::Timeout=120
apt-get install -y -o DPkg::Lock::Timeout=120 --no-install-recommends redis-server
if [ -d /run/systemd/system ]; then systemctl disable --now redis-server || true; fi
`;

function install() {
  if (process.platform === 'linux' && works('apt-get')) {
    if (process.getuid() === 0) return run('sh', ['-c', APT_INSTALL]);
    if (works('sudo', ['-n', 'true'])) return run('sudo', ['-n', 'sh', '-c', APT_INSTALL]);
    throw new SetupError('redis-server is needed: run `sudo apt-get install redis-server`, then this command again.');
  }
  if (process.platform === 'darwin') {
    if (works('brew')) return run('brew', ['install', 'redis']);
    throw new SetupError('redis-server is needed: install Homebrew (https://brew.sh), then `brew install redis`.');
  }
  throw new SetupError(
    'redis-server is needed in the PATH. Install Redis 6.2 or newer with the package manager of this system ' +
      '(Fedora: `dnf install redis`, Alpine: `apk add redis`, Arch: `pacman -S redis`), then run this command again.'
  );
}

function requireRedisServer() {
  if (works('redis-server')) return;
  console.log('setup: installing redis-server');
  install();
  if (!works('redis-server')) {
    throw new SetupError('redis-server was installed, but is not in the PATH: add its folder, then run this again.');
  }
}

// The answer of the server on this port to a command without arguments.
async function ask(port, command) {
  const socket = net.connect(port, '127.0.0.1');
  try {
    socket.write(`${command}\r\n`);
    const [reply] = await once(socket, 'data');
    return String(reply).trim();
  } finally {
    socket.destroy();
  }
}

// An empty server without persistence on a free port of this machine; resolves when it answers.
async function startRedisServer() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  await once(probe.close(), 'close');
  const args = ['--port', port, '--bind', '127.0.0.1', '-::1', '--save', '', '--appendonly', 'no'];
  const server = spawn('redis-server', args.map(String), { stdio: 'ignore' });
  const exited = once(server, 'exit');
  for (let tries = 0; tries < 100; tries++) {
    if ((await ask(port, 'PING').catch(() => '')) === '+PONG') {
      const stop = () => (server.kill(), exited);
      return { port, stop };
    }
    await sleep(50);
  }
  server.kill();
  throw new SetupError(`redis-server did not answer on port ${port} within 5 s`);
}

module.exports = { ask, requireRedisServer, startRedisServer };
