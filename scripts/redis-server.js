'use strict';
// Finds redis-server, or installs it: with apt-get as root or passwordless sudo, or with Homebrew on macOS.

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

module.exports = { requireRedisServer };
