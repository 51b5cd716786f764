'use strict';
// Growth: the same calls beside few live sessions and beside many, each in a store and a process of its own, in turns.

const PeerProcess = require('../peer-process');
const { inRounds, inTurns } = require('../rounds');
const { startServer } = require('../server');

const BATCH = 20000;
// sessions of the peer itself, which the server copies; the copies are never looked at
const COPY = "for i = ARGV[1], ARGV[2] do redis.call('COPY', KEYS[1], 'live:' .. i) end";

async function prepare(id, live) {
  const server = await startServer();
  const peer = await PeerProcess.start(id, server);
  if (!peer) return void (await server.stop());
  // the peer's own writes make one session to copy, or all of them where the store is memory
  const weight = await peer.ask('fill', { count: peer.server ? 1 : live, size: 1024 });
  if (peer.server) {
    const keys = (await server.cli('keys', '*')).split('\n');
    for (let i = keys.length; i < live; i += BATCH) {
      await server.cli('eval', COPY, 1, keys.at(-1), i + 1, Math.min(i + BATCH, live));
    }
  }
  return { id: `${id} ${live}`, peer, server, live, weight };
}

const ask = ({ peer }, ms) => peer.ask('calls', { kind: 'UasCall', size: 1024, atOnce: 64, ms });

// -> [{id, live: [few, many], few: rounds, many: rounds, weight: {bytes, data} of one of many sessions in memory}]
async function measureGrowth(plan, say) {
  const results = [];
  for (const { id, live } of plan.growth) {
    say(`from ${live[0]} to ${live[1]} live sessions, ${id}`);
    const stores = [];
    for (const count of live) stores.push(await prepare(id, count));
    if (stores.includes(undefined)) continue;
    await inRounds(stores, 1, (store) => ask(store, plan.ms));
    const rounds = await inTurns(stores, { ...plan, rounds: plan.growthRounds }, async (store, ms) => {
      const result = await ask(store, ms);
      await store.peer.assertEmpty(store.live);
      return result;
    });
    const [few, many] = stores.map((store) => rounds[store.id]);
    const weight = stores[1].peer.server ? undefined : stores[1].weight;
    results.push({ id, live, few, many, weight });
    for (const { peer, server } of stores) {
      await peer.stop();
      await server.stop();
    }
  }
  return results;
}

module.exports = measureGrowth;
