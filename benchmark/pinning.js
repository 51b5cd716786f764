'use strict';
// The CPUs of a run: redis-server has the last one, the measured processes have the others. Load that comes from the process
// of the benchmark shares the CPU of redis-server. It needs `taskset` (Linux) and two CPUs or more.

const os = require('node:os');
const { spawnSync } = require('node:child_process');
const { works } = require('../scripts/setup');

const cpus = os.availableParallelism();
const pinned = cpus > 1 && works('taskset');
const SERVER = String(cpus - 1);
const MEASURED = cpus === 2 ? '0' : `0-${cpus - 2}`;

// the command that starts a program on the CPUs of the measured processes
const onMeasured = (program, args) => (pinned ? ['taskset', ['-c', MEASURED, program, ...args]] : [program, args]);

// moves a running process, with all of its threads
function move(pid, list) {
  if (pinned) spawnSync('taskset', ['-a', '-c', '-p', list, String(pid)], { stdio: 'ignore' });
}

const moveServer = (pid) => move(pid, SERVER);

// Keeps this process off the CPUs of the measured processes while `work` runs.
async function sharingServerCpu(work) {
  move(process.pid, SERVER);
  try {
    return await work();
  } finally {
    move(process.pid, `0-${cpus - 1}`);
  }
}

const description = pinned ? `redis-server on CPU ${SERVER}, the measured processes on CPU ${MEASURED}` : 'not pinned';

module.exports = { description, moveServer, onMeasured, sharingServerCpu };
