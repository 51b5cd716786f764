'use strict';
// Interleaving: a round measures all peers, one after the other. Each round begins with another peer, so that a slow moment
// of the machine does not affect one peer only.

// measure(peer, round) -> a result; returns {id: [result of each round]}
async function inRounds(peers, rounds, measure) {
  const results = Object.fromEntries(peers.map(({ id }) => [id, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < peers.length; i++) {
      const peer = peers[(i + round) % peers.length];
      results[peer.id].push(await measure(peer, round));
    }
  }
  return results;
}

// The same with measure(peer, ms). Each measurement begins with `wakeMs` that do not count, because the other peers may have
// displaced this one from the CPU's caches.
function inTurns(peers, { rounds, ms, wakeMs }, measure) {
  return inRounds(peers, rounds, async (peer) => {
    await measure(peer, wakeMs);
    return await measure(peer, ms);
  });
}

module.exports = { inRounds, inTurns };
