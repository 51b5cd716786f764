'use strict';
// INFO requests in established dialogs: each changes one of the properties of a large session.

const { inTurns } = require('../rounds');

// -> {id: [result of each round]}
async function measureInfos(peers, plan, say) {
  const { atOnce, ...data } = plan.infos;
  const ask = (peer, options) => peer.ask('infos', { ...data, ...options });
  for (const peer of peers) await ask(peer, { atOnce: 16, ms: plan.warmUpMs });
  say(`INFO that changes one of ${data.properties} properties of a session of ${data.size} bytes`);
  return inTurns(peers, plan, async (peer, ms) => {
    const result = await ask(peer, { atOnce, ms });
    await peer.assertEmpty();
    return result;
  });
}

module.exports = measureInfos;
