'use strict';
// Memory: what a stored session weighs in the process that stores it, and what an open call does.

const PeerProcess = require('../peer-process');

// -> {id: {bytes, data}}, per session
async function perSession(plan, say) {
  const results = {};
  for (const { id, count } of plan.memory.sessions) {
    say(`memory of ${count} sessions, ${id}`);
    const peer = await PeerProcess.start(id);
    results[id] = { count, ...(await peer.ask('fill', { count, size: 1024 })) };
    await peer.assertEmpty(count);
    await peer.stop();
  }
  return results;
}

// -> {id: {bytes, total}}, per open call
async function ofOpenCalls(server, plan, say) {
  const results = {};
  for (const { id, count } of plan.memory.openCalls) {
    say(`memory at ${count} open calls, ${id}`);
    const peer = await PeerProcess.start(id, server);
    if (!peer) continue;
    results[id] = { count, ...(await peer.ask('openCalls', { count, size: 1024 })) };
    await peer.assertEmpty();
    await peer.stop();
  }
  return results;
}

module.exports = { ofOpenCalls, perSession };
