'use strict';
// Whole calls through the middleware: every peer, for each size of the session and number of calls at once.

const { inTurns } = require('../rounds');
const { monitored, withCounters } = require('../server');

const COUNTED_MS = 150;
const CONNECTION = new Set(['AUTH', 'CLIENT', 'HELLO', 'INFO', 'PING', 'SELECT', 'SCRIPT']);
const READS = new Set(['GET', 'HGETALL', 'HGET', 'HMGET', 'MGET', 'JSON.GET']);

async function warmUp(peers, { kind, size, ms }) {
  for (const peer of peers) {
    await peer.ask('calls', { kind, size, atOnce: 16, ms });
    await peer.ask('calls', { kind, size, atOnce: 1, ms: ms / 2 });
    // removes the keys that classic leaves, which would fail the check of the next peer
    await peer.assertEmpty();
  }
}

const isDecisive = ({ kind, size, atOnce }) => kind === 'UasCall' && size === 1024 && atOnce === 64;

// one scenario: {kind, size, atOnce} -> {id: [result of each round]}
function scenario(peers, plan, options) {
  const rounds = isDecisive(options) ? plan.decisiveRounds : plan.rounds;
  return inTurns(peers, { ...plan, rounds }, async (peer, ms) => {
    const work = () => peer.ask('calls', { ...options, ms });
    const result = peer.server ? await withCounters(peer.server, work) : await work();
    await peer.assertEmpty();
    return result;
  });
}

// The commands that a peer sends for a call -> {commands, reads, verbs: {verb: count}}, each per call
async function commandsOf(peer, options) {
  const work = () => peer.ask('calls', { ...options, ms: COUNTED_MS });
  const { result, commands } = await monitored(peer.server, work);
  const sent = commands.map(([verb]) => verb).filter((verb) => !CONNECTION.has(verb));
  const per = (verbs) => verbs.length / result.count;
  const verbs = Object.fromEntries([...new Set(sent)].map((verb) => [verb, per(sent.filter((one) => one === verb))]));
  return { commands: per(sent), reads: per(sent.filter((verb) => READS.has(verb))), verbs };
}

async function measureCalls(peers, plan, say) {
  const results = [];
  for (const { kind, sizes, atOnce: numbers } of plan.calls) {
    const able = kind === 'B2buaCall' ? peers.filter(({ legs }) => legs) : peers;
    await warmUp(able, { kind, size: sizes[0], ms: plan.warmUpMs });
    for (const size of sizes) {
      for (const atOnce of numbers) {
        say(`${kind}, ${size} bytes, ${atOnce} at once`);
        results.push({ kind, size, atOnce, peers: await scenario(able, plan, { kind, size, atOnce }) });
      }
    }
  }
  const commands = {};
  for (const peer of peers.filter(({ server }) => server)) {
    commands[peer.id] = { UasCall: await commandsOf(peer, { kind: 'UasCall', size: 1024, atOnce: 64 }) };
    if (peer.legs) commands[peer.id].B2buaCall = await commandsOf(peer, { kind: 'B2buaCall', size: 1024, atOnce: 64 });
  }
  return { results, commands };
}

module.exports = measureCalls;
