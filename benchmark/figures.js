'use strict';
// Figures of peers in a scenario, round by round; undefined for a peer that was not measured.

// The peers of one scenario: {id: [result of each round]}.
function find(results, options) {
  const found = results.find((one) => Object.entries(options).every(([name, value]) => one[name] === value));
  return found?.peers ?? {};
}

const pick = (rounds, read) => rounds?.map(read);

const latency = (peers, id, share) => pick(peers[id], (result) => result.latency.call[share]);
const main = (peers, id) => pick(peers[id], (result) => result.mainCpu);
const p50 = (peers, id) => latency(peers, id, 'p50');
const p99 = (peers, id) => latency(peers, id, 'p99');
const processCpu = (peers, id) => pick(peers[id], (result) => result.processCpu);
const rate = (peers, id) => pick(peers[id], (result) => result.perSecond);

// main-thread CPU without the driver's share
const net = (peers, id) => pick(peers[id], (result, round) => result.mainCpu - peers.driver[round].mainCpu);

// what a peer needs more than another one, of the figure with this name; undefined if one was not measured
const over = (peers, id, base, name) =>
  peers[base] && pick(peers[id], (result, round) => result[name] - peers[base][round][name]);

module.exports = { find, main, net, over, p50, p99, processCpu, rate };
