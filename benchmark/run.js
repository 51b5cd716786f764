'use strict';
// npm run bench: measures drachtio-session and its peers side by side and writes docs/benchmarks.md.
// -- --quick: only what the table of ratios needs, in under three minutes, and nothing is written.
// -- --report: writes the page again from the last full run.

const fs = require('node:fs');
const path = require('node:path');
const { requireRedisServer } = require('../scripts/redis-server');
const { main, requireRust, run, setup } = require('../scripts/setup');

const RESULTS = path.join(__dirname, '..', 'target', 'benchmark.json');
const SRF_SERVER = path.join(__dirname, '..', 'examples', 'drachtio-server');
const OPTIONS = ['--quick', '--report'];

const log = (text) => process.stderr.write(`bench: ${text}\n`);

const written = (name) => fs.statSync(path.join(__dirname, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;

function installPeers() {
  if (written('node_modules/.package-lock.json') >= written('package-lock.json')) return;
  log('npm ci in benchmark/');
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: __dirname });
}

// Starts peers and runs `work` with those that there are in this version.
async function withPeers(ids, server, work) {
  const PeerProcess = require('./peer-process');
  const peers = [];
  for (const id of ids) {
    const peer = await PeerProcess.start(id, server);
    if (peer) peers.push(peer);
    else log(`${id}: not available in this version`);
  }
  try {
    return await work(peers);
  } finally {
    for (const peer of peers) await peer.stop();
  }
}

async function measure(plan) {
  const { startServer } = require('./server');
  const begun = Date.now();
  const say = (text) => log(`${((Date.now() - begun) / 1000).toFixed(0)} s, ${text}`);
  const measures = {
    calls: require('./measures/calls'),
    clients: require('./measures/clients'),
    floor: require('./measures/floor')
  };
  const results = { plan, machine: require('./machine')() };
  const server = await startServer();
  try {
    const redis = await withPeers(plan.redisPeers, server, async (peers) => {
      const called = await measures.calls(peers, plan, say);
      const ours = peers.filter(({ id }) => id.startsWith('redis'));
      return { calls: called.results, commands: called.commands, floor: await measures.floor(ours, server, plan, say) };
    });
    Object.assign(results, redis);
    const memoryPlan = { ...plan, calls: plan.memoryCalls, decisiveRounds: plan.rounds };
    const inMemory = (peers) => measures.calls(peers, memoryPlan, say);
    results.memoryCalls = (await withPeers(plan.memoryPeers, undefined, inMemory)).results;
    results.clients = await withPeers(plan.clientPeers, server, (peers) => measures.clients(peers, plan, say));
    await server.raw('FLUSHALL');
    if (fs.existsSync(SRF_SERVER))
      results.srf = await withPeers(plan.srfPeers, server, (peers) => require('./measures/srf')(peers, plan, say));
    results.coldStart = await require('./measures/cold-start')(server, plan, say);
    results.openCalls = await require('./measures/open-calls')(server, plan, say);
  } finally {
    await server.stop();
  }
  results.growth = await require('./measures/growth')(plan, say);
  results.seconds = Math.round((Date.now() - begun) / 1000);
  return results;
}

main(async () => {
  const given = process.argv.slice(2);
  const unknown = given.find((option) => !OPTIONS.includes(option));
  if (unknown) throw new Error(`there is no option ${unknown}; the options are ${OPTIONS.join(', ')}`);
  setup();
  requireRedisServer();
  requireRust();
  installPeers();
  const { quick, full } = require('./plan');
  const report = require('./report');
  if (given.includes('--report')) return report.write(JSON.parse(fs.readFileSync(RESULTS, 'utf8')));
  const results = await measure(given.includes('--quick') ? quick : full).catch((err) => {
    console.error(err);
    // peers that still run would keep this process waiting: they end with it
    process.exit(1);
  });
  if (results.plan.name === 'full') {
    fs.writeFileSync(RESULTS, JSON.stringify(results));
    report.write(results);
  }
  console.log(report.summary(results));
});
