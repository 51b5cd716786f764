'use strict';
// The Redis server of a run, its counters, and the commands that its clients send.

const { Monitor } = require('../__test__/support/network/monitor');
const { RedisServer } = require('../__test__/support/redis');
const { moveServer } = require('./pinning');

async function startServer() {
  const server = await RedisServer.start('--maxclients', '512');
  moveServer(server.process.pid);
  return server;
}

// The result of `work`, which has a count, with the server's share for each: CPU in µs and bytes on the wire.
async function withCounters(server, work) {
  const before = await counters(server);
  const result = await work();
  const after = await counters(server);
  const per = (name) => (after[name] - before[name]) / result.count;
  return { ...result, server: { cpu: per('cpu'), bytesIn: per('bytesIn'), bytesOut: per('bytesOut') } };
}

async function counters(server) {
  const text = await server.cli('info', 'all');
  const value = (name) => Number(new RegExp(`^${name}:(.*)\\r?$`, 'm').exec(text)[1]);
  return {
    cpu: (value('used_cpu_user_main_thread') + value('used_cpu_sys_main_thread')) * 1e6,
    bytesIn: value('total_net_input_bytes'),
    bytesOut: value('total_net_output_bytes')
  };
}

// The commands that clients send during `work`, as arrays of words, without those that Lua scripts run.
async function monitored(server, work) {
  const monitor = await Monitor.start(server);
  try {
    const result = await work();
    return { result, commands: await monitor.take() };
  } finally {
    monitor.stop();
  }
}

module.exports = { monitored, startServer, withCounters };
