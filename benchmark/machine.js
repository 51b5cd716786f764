'use strict';
// The machine of a run, and the versions of the programs and packages in it.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const pinning = require('./pinning');

const outputOf = (program, ...args) => spawnSync(program, args, { encoding: 'utf8' }).stdout?.trim() || 'not found';

const PEERS = ['redis', 'ioredis', '@valkey/valkey-glide', 'express-session', 'connect-redis', 'memorystore'];

// The file is read, because some packages do not export their package.json.
function versionOf(folder) {
  return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).version;
}

function machine() {
  const modules = path.join(__dirname, 'node_modules');
  const [cpu] = os.cpus();
  const lock = fs.readFileSync(path.join(__dirname, 'floor', 'Cargo.lock'), 'utf8');
  return {
    machine: `${os.availableParallelism()} CPUs (${cpu.model.trim()}), ${Math.round(os.totalmem() / 2 ** 30)} GB`,
    system: `${os.type()} ${os.release()}, ${os.arch()}`,
    pinning: pinning.description,
    node: process.version,
    redis: /v=(\S+)/.exec(outputOf('redis-server', '--version'))?.[1] ?? 'not found',
    rust: outputOf('rustc', '--version'),
    module: `${versionOf(path.join(__dirname, '..'))}, commit ${outputOf('git', '-C', __dirname, 'rev-parse', '--short', 'HEAD')}`,
    peers: [
      ...PEERS.map((name) => `${name} ${versionOf(path.join(modules, name))}`),
      `redis-rs ${/name = "redis"\nversion = "(.*)"/.exec(lock)[1]}`
    ].join(', '),
    load: os.loadavg().map((load) => load.toFixed(1)),
    date: new Date().toISOString().slice(0, 10)
  };
}

module.exports = machine;
