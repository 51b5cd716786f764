'use strict';
// Where things run: redis-server on the last CPU, what is measured on the others. Only with `taskset` (Linux) and on
// two CPUs or more.

const os = require('node:os');
const { spawnSync } = require('node:child_process');
const { works } = require('../scripts/setup');

const cpus = os.availableParallelism();
const pinned = cpus > 1 && works('taskset');
const SERVER = String(cpus - 1);
const MEASURED = cpus === 2 ? '0' : `0-${cpus - 2}`;

// the command that starts a program on the CPUs of what is measured
const onMeasured = (program, args) => (pinned ? ['taskset', ['-c', MEASURED, program, ...args]] : [program, args]);

// moves a server that runs, with all of its threads
function moveServer(pid) {
  if (pinned) spawnSync('taskset', ['-a', '-c', '-p', SERVER, String(pid)], { stdio: 'ignore' });
}

const told = pinned ? `redis-server on CPU ${SERVER}, what is measured on CPU ${MEASURED}` : 'not pinned';

module.exports = { moveServer, onMeasured, told };
