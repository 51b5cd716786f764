'use strict';
// npm run bench: measures drachtio-session and its peers in turns and writes docs/benchmarks.md.
// -- --quick: measures what the tables of targets need, in some four minutes, and writes nothing.
// -- --quick --against <folder>: measures the rows of these tables for two builds in turns, this one and the built checkout in
//    the folder, and prints how they compare.
// -- --only srf [--against <folder>]: the same with the rows of drachtio-srf only, in about a minute (five for two builds).
// -- --report: writes the page again from the last full run.

const fs = require('node:fs');
const path = require('node:path');
const { parseArgs } = require('node:util');
const { requireRedisServer } = require('../scripts/redis-server');
const { main, requireRust, run, setup } = require('../scripts/setup');

const RESULTS = path.join(__dirname, '..', 'target', 'benchmark.json');
const SRF_SERVER = path.join(__dirname, '..', 'examples', 'drachtio-server');

const log = (text) => process.stderr.write(`bench: ${text}\n`);

const writtenAt = (name) => fs.statSync(path.join(__dirname, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;

function installPeers() {
  if (writtenAt('node_modules/.package-lock.json') >= writtenAt('package-lock.json')) return;
  log('npm ci in benchmark/');
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: __dirname });
}

// Starts peers and runs `work` with those that the build has. `root`: the folder of another build, whose peers follow.
async function withPeers(ids, server, root, work) {
  const PeerProcess = require('./peer-process');
  const peers = [];
  const start = async (id, build) => {
    const peer = await PeerProcess.start(id, server, build);
    if (peer) peers.push(peer);
    else log(`${id}: not available in this version`);
  };
  for (const id of ids) {
    await start(id);
    if (root && require('./peers')[id].ours) await start(id, root);
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
    floor: require('./measures/floor'),
    infos: require('./measures/infos')
  };
  const results = { plan, machine: require('./machine')() };
  const ended = () => ({ ...results, seconds: Math.round((Date.now() - begun) / 1000) });
  const server = await startServer();
  const measured = (ids, work) => withPeers(ids, server, plan.root, work);
  try {
    if (fs.existsSync(SRF_SERVER)) {
      results.srf = await measured(plan.srfPeers, (peers) => require('./measures/srf')(peers, plan, say));
    }
    if (plan.only) return ended();
    const redis = await measured(plan.redisPeers, async (peers) => {
      const called = await measures.calls(peers, plan, say);
      const ours = peers.filter(({ id }) => id.startsWith('redis'));
      const floor = plan.floor && (await measures.floor(ours, server, plan, say));
      return { calls: called.results, commands: called.commands, floor };
    });
    Object.assign(results, redis);
    const memoryPlan = { ...plan, calls: plan.memoryCalls, decisiveRounds: plan.rounds };
    results.memoryCalls = (await measured(plan.memoryPeers, (peers) => measures.calls(peers, memoryPlan, say))).results;
    results.clients = await measured(plan.clientPeers, (peers) => measures.clients(peers, plan, say));
    await server.raw('FLUSHALL');
    results.infos = await measured(plan.infoPeers, (peers) => measures.infos(peers, plan, say));
    if (plan.coldStart) results.coldStart = await require('./measures/cold-start')(server, plan, say);
    results.openCalls = await require('./measures/open-calls')(server, plan, say);
  } finally {
    await server.stop();
  }
  results.growth = await require('./measures/growth')(plan, say);
  return ended();
}

// Measures this build and the one in `root`.
async function compare(plan, root) {
  const { comparison } = require('./comparison');
  const passes = [];
  for (let pass = 0; pass < plan.passes; pass++) {
    // the slow part once
    passes.push(await measure({ ...plan, root, growth: pass === 0 ? plan.growth : [] }));
  }
  return comparison(passes);
}

// Peers that still run would keep this process waiting: they end with it.
const fail = (err) => {
  console.error(err);
  process.exit(1);
};

function options() {
  const [flag, text] = [{ type: 'boolean' }, { type: 'string' }];
  const { values } = parseArgs({ options: { quick: flag, report: flag, against: text, only: text } });
  if (values.only !== undefined && values.only !== 'srf') throw new Error('--only measures one part alone: srf');
  if (values.against !== undefined && !values.quick && !values.only)
    throw new Error('--against <folder> needs --quick or --only srf');
  return values;
}

main(async () => {
  const given = options();
  setup();
  requireRedisServer();
  requireRust();
  installPeers();
  const { against, full, onlySrf, quick } = require('./plan');
  const report = require('./report');
  if (given.report) return report.write(JSON.parse(fs.readFileSync(RESULTS, 'utf8')));
  const narrowed = given.only ? onlySrf : (plan) => plan;
  if (given.against !== undefined) {
    return console.log(await compare(narrowed(against), path.resolve(given.against)).catch(fail));
  }
  const results = await measure(narrowed(given.quick || given.only ? quick : full)).catch(fail);
  if (results.plan.name === 'full') {
    fs.mkdirSync(path.dirname(RESULTS), { recursive: true });
    fs.writeFileSync(RESULTS, JSON.stringify(results));
    report.write(results);
  }
  console.log(report.summary(results));
});
