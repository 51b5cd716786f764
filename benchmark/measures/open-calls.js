'use strict';
// The memory of an open call in its process; growth.js measures the sessions of memory stores.

const PeerProcess = require('../peer-process');

// -> {id: {bytes, total}}, per open call
async function measureOpenCalls(server, plan, say) {
  const results = {};
  for (const { id, count } of plan.openCalls) {
    say(`memory at ${count} open calls, ${id}`);
    const peer = await PeerProcess.start(id, server);
    if (!peer) continue;
    results[id] = { count, ...(await peer.ask('openCalls', { count, size: 1024 })) };
    await peer.assertEmpty();
    await peer.stop();
  }
  return results;
}

module.exports = measureOpenCalls;
