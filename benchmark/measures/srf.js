'use strict';
// drachtio-srf with and without the module: CPU and garbage collections of an application that answers calls through Dialogs,
// INVITE to BYE, or connects them to a second leg. The scripted server, in the process of the benchmark, plays
// drachtio-server, the callers and the callees; the measured process has the application only.

const { setTimeout: sleep } = require('node:timers/promises');
const { sharingServerCpu } = require('../pinning');
const { inTurns } = require('../rounds');
const { DrachtioServer } = require('../../examples/drachtio-server');

// how long the last calls are up, in ms
const LAST_MS = 20;

// By kind: open(server, number) -> close(), once the call is up.
const CALLS = {
  async UasCall(server) {
    const call = server.call();
    await call.answered;
    return () => call.bye();
  },

  // The parties hang up in turns, the caller first.
  async B2buaCall(server, number) {
    const to = `b2bua-${number}`;
    const reached = server.reached(to);
    const call = server.call({ to });
    const callee = await reached;
    await Promise.all([call.answered, callee.received('ACK')]);
    const [first, second] = number % 2 ? [call, callee] : [callee, call];
    return async () => {
      const ended = second.received('BYE');
      await first.bye();
      await (
        await ended
      ).answered;
    };
  }
};

// A scripted server that finds the callee of a call by its user: server.reached(user) -> a promise of the callee.
async function startServer() {
  const server = await DrachtioServer.start();
  const expected = new Map();
  server.on('callee', (callee) => {
    expected.get(callee.user)(callee);
    expected.delete(callee.user);
  });
  server.reached = (user) =>
    new Promise((resolve) => {
      expected.set(user, resolve);
    });
  return server;
}

let number = 0;

// Keeps callers going for some ms -> how many calls there were. A caller hangs up a call when its next one is answered: a BYE
// that comes in one packet with the ACK finds an application that does not listen to its Dialog yet, so that it would never
// run the handler of the BYE (the promise of createUAS resolves in a later microtask).
async function callFor(server, { kind, atOnce, ms }) {
  const end = performance.now() + ms;
  let count = 0;
  const caller = async () => {
    let close = await CALLS[kind](server, ++number);
    while (performance.now() < end) {
      const next = await CALLS[kind](server, ++number);
      await close();
      count++;
      close = next;
    }
    await sleep(LAST_MS);
    await close();
    count++;
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  return count;
}

async function measureScenarios(peers, plan, say) {
  const results = [];
  for (const { kind, atOnce: numbers } of plan.srf.calls) {
    for (const peer of peers) await callFor(peer.sip, { kind, atOnce: 16, ms: plan.warmUpMs });
    for (const atOnce of numbers) {
      say(`drachtio-srf, ${kind}, ${atOnce} at once`);
      const measure = async (peer, ms) => {
        await peer.ask('startClock');
        const count = await callFor(peer.sip, { kind, atOnce, ms });
        const { seconds, mainCpu, processCpu, collections } = await peer.ask('stopClock');
        await peer.assertEmpty();
        return {
          count,
          perSecond: count / seconds,
          mainCpu: mainCpu / count,
          processCpu: processCpu / count,
          collections: collections / count
        };
      };
      results.push({ kind, atOnce, peers: await inTurns(peers, { ...plan, ms: plan.srf.ms }, measure) });
    }
  }
  return results;
}

// -> [{kind, atOnce, peers: {id: [result of each round]}}]
async function measureSrf(peers, plan, say) {
  const servers = [];
  try {
    for (const peer of peers) {
      peer.sip = await startServer();
      servers.push(peer.sip);
      await peer.ask('connect', peer.sip.connectOptions);
      await peer.sip.routed('INVITE');
    }
    return await sharingServerCpu(() => measureScenarios(peers, plan, say));
  } finally {
    for (const server of servers) await server.stop();
  }
}

module.exports = measureSrf;
