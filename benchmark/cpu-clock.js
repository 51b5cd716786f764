'use strict';
// The cost of a piece of work: wall time, CPU of the JavaScript thread, CPU of the process.

const fs = require('node:fs');
const { performance } = require('node:perf_hooks');

// CPU time of the thread that runs JavaScript, in µs. Node has it from 23.9 on. Before, Linux has it in /proc for the main
// thread, whose id is that of the process, as of the last time that the thread slept. NaN elsewhere.
function mainThread() {
  if (process.threadCpuUsage) {
    const { user, system } = process.threadCpuUsage();
    return user + system;
  }
  try {
    return Number(fs.readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  } catch {
    return NaN;
  }
}

function wholeProcess() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

// Starts a clock -> stop() -> {seconds, mainCpu, processCpu}, the last two in µs
function startClock() {
  const begun = { main: mainThread(), process: wholeProcess(), at: performance.now() };
  return () => ({
    seconds: (performance.now() - begun.at) / 1000,
    mainCpu: mainThread() - begun.main,
    processCpu: wholeProcess() - begun.process
  });
}

module.exports = { startClock };
