'use strict';
// drachtio-srf with and without the module: CPU of an application that answers calls through Dialogs, INVITE to BYE. The
// scripted server, in the process of the benchmark, plays drachtio-server and the callers.

const { inTurns } = require('../rounds');
const { DrachtioServer } = require('../../examples/drachtio-server');

// Keeps a number of calls going at once for some ms -> how many there were
async function callFor(server, { atOnce, ms }) {
  const end = performance.now() + ms;
  let count = 0;
  const caller = async () => {
    while (performance.now() < end) {
      const call = server.call();
      await call.answered;
      await call.bye();
      count++;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  return count;
}

async function measureSrf(peers, plan, say) {
  const servers = [];
  for (const peer of peers) {
    const server = await DrachtioServer.start();
    servers.push(server);
    peer.sip = server;
    await peer.ask('connect', server.connectOptions);
    await server.routed('INVITE');
    await callFor(server, { atOnce: 16, ms: plan.warmUpMs });
  }
  const results = [];
  for (const atOnce of plan.srf.atOnce) {
    say(`drachtio-srf, ${atOnce} at once`);
    const measure = async (peer, ms) => {
      await peer.ask('startClock');
      const count = await callFor(peer.sip, { atOnce, ms });
      const { seconds, mainCpu, processCpu } = await peer.ask('stopClock');
      await peer.assertEmpty();
      return { perSecond: count / seconds, mainCpu: mainCpu / count, processCpu: processCpu / count };
    };
    results.push({ atOnce, peers: await inTurns(peers, plan, measure) });
  }
  for (const server of servers) await server.stop();
  return results;
}

module.exports = measureSrf;
