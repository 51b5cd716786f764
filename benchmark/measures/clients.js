'use strict';
// Clients without sessions: set and get of 1 KB, as a text and as an object that is serialised as JSON.

const { inTurns } = require('../rounds');

async function measureClients(peers, plan, say) {
  const results = [];
  for (const peer of peers) await peer.ask('pairs', { size: 1024, atOnce: 16, ms: plan.warmUpMs });
  for (const objects of plan.clients.objects) {
    for (const atOnce of plan.clients.atOnce) {
      say(`set and get of ${objects ? 'an object' : 'a text'}, ${atOnce} at once`);
      const ask = (peer, ms) => peer.ask('pairs', { objects, size: 1024, atOnce, ms });
      results.push({ objects, atOnce, peers: await inTurns(peers, plan, ask) });
    }
  }
  return results;
}

module.exports = measureClients;
