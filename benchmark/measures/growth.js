'use strict';
// Growth: the same calls beside few live sessions and beside many, each in a store and a process of its own, in turns. With
// --against, the stores of both builds are measured in the same rounds.

const { THIS_BUILD } = require('../builds');
const PeerProcess = require('../peer-process');
const { inRounds, inTurns } = require('../rounds');
const { startServer } = require('../server');

const BATCH = 20000;
// copies of a session of the peer; no call uses them
const COPY = "for i = ARGV[1], ARGV[2] do redis.call('COPY', KEYS[1], 'live:' .. i) end";

async function prepare(id, live, root) {
  const server = await startServer();
  const peer = await PeerProcess.start(id, server, root);
  if (!peer) return void (await server.stop());
  // on Redis the peer stores one session, which is copied; in memory it stores all of them
  const weight = await peer.ask('fill', { count: peer.server ? 1 : live, size: 1024 });
  if (peer.server) {
    const keys = (await server.cli('keys', '*')).split('\n');
    for (let i = keys.length; i < live; i += BATCH) {
      await server.cli('eval', COPY, 1, keys.at(-1), i + 1, Math.min(i + BATCH, live));
    }
  }
  return { id: `${peer.id} ${live}`, peer, server, live, weight };
}

const ask = ({ peer }, ms) => peer.ask('calls', { kind: 'UasCall', size: 1024, atOnce: 64, ms });

// -> [{id, live: [few, many], few: rounds, many: rounds, weight: {bytes, data} of one of many sessions in memory}]
async function measureGrowth(plan, say) {
  const results = [];
  const roots = plan.root ? [THIS_BUILD, plan.root] : [THIS_BUILD];
  for (const { id, live } of plan.growth) {
    say(`from ${live[0]} to ${live[1]} live sessions, ${id}`);
    const stores = [];
    for (const root of roots) for (const count of live) stores.push(await prepare(id, count, root));
    if (stores.includes(undefined)) continue;
    await inRounds(stores, 1, (store) => ask(store, plan.ms));
    const rounds = await inTurns(stores, { ...plan, rounds: plan.growthRounds }, async (store, ms) => {
      const result = await ask(store, ms);
      await store.peer.assertEmpty(store.live);
      return result;
    });
    for (let i = 0; i < stores.length; i += 2) {
      const [few, many] = stores.slice(i, i + 2);
      const weight = many.peer.server ? undefined : many.weight;
      results.push({ id: many.peer.id, live, few: rounds[few.id], many: rounds[many.id], weight });
    }
    for (const { peer, server } of stores) {
      await peer.stop();
      await server.stop();
    }
  }
  return results;
}

module.exports = measureGrowth;
