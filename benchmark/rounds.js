'use strict';
// Interleaving: each round goes through all peers, each time beginning with another one, so that a slow moment of the
// machine does not hit one peer only.

// measure(peer) -> a result; gives {id: [result of each round]}
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

// The same of measure(peer, ms): each turn begins with a moment that does not count, because caches may have gone cold
// while the others had theirs.
function inTurns(peers, { rounds, ms, wakeMs }, measure) {
  return inRounds(peers, rounds, async (peer) => {
    await measure(peer, wakeMs);
    return await measure(peer, ms);
  });
}

module.exports = { inRounds, inTurns };
