'use strict';
// The floor: a program on redis-rs, without Node (floor/), repeats the recorded commands that our store sends for a call; and
// redis-benchmark sends plain commands.

const fs = require('node:fs');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { inTurns } = require('../rounds');
const { monitored } = require('../server');
const { onMeasured } = require('../pinning');
const { run } = require('../../scripts/setup');

const exec = promisify(execFile);
const folder = path.join(__dirname, '..', 'floor');
const program = path.join(folder, 'target', 'release', 'floor');
const VERBS = /^(EVALSHA|FCALL|HGETALL|HMGET|GET|SET|DEL|UNLINK|PEXPIRE|HSET|HGET|HDEL|MULTI|EXEC)$/;

function build() {
  run('cargo', ['build', '--release', '--quiet', '--locked'], { cwd: folder });
}

// a word as MONITOR prints it -> the word
const unescaped = (word) => word.replace(/\\(x[0-9a-f]{2}|.)/g, (_, code) => ESCAPES[code] ?? hex(code));
const ESCAPES = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b', '"': '"', '\\': '\\' };
const hex = (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16));

// The commands of one call, with U+0001 for the Call-ID and U+0002 for the end of the uuid.
async function recordCall(peer, size) {
  const { commands } = await monitored(peer.server, () =>
    peer.ask('calls', { kind: 'UasCall', size, atOnce: 1, ms: 0 })
  );
  const words = commands.filter(([verb]) => VERBS.test(verb)).map((command) => command.map(unescaped));
  const text = JSON.stringify(words);
  const [id] = /\d+-\d+-\d{8}@a\.example/.exec(text);
  const [uuid] = /[0-9a-f]{12}(?<=[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/.exec(text);
  const general = (word) => word.replaceAll(id, '\u0001').replaceAll(uuid, '\u0002');
  return words.map((command) => command.map(general));
}

async function replay(server, commands, { atOnce, ms }) {
  const [command, args] = onMeasured(program, [server.port, atOnce, ms, JSON.stringify(commands)].map(String));
  const { stdout } = await exec(command, args);
  const { calls, seconds, cpu, p50, p99 } = JSON.parse(stdout);
  const left = await server.size();
  if (left !== 0) throw new Error(`floor: ${left} keys were left`);
  return { perSecond: calls / seconds, mainCpu: cpu / calls, latency: { call: { p50, p99 } } };
}

// redis-benchmark: requests per second of SET and GET of 1 KB and HGETALL of a session
async function redisBenchmark(server, { pipeline, requests }) {
  await server.cli('hset', 'sample', ...Array.from({ length: 8 }, (_, i) => [`.field${i}`, 'x'.repeat(128)]).flat());
  const results = {};
  const value = 'x'.repeat(1024);
  for (const words of [
    ['SET', 'sample:text', value],
    ['GET', 'sample:text'],
    ['HGETALL', 'sample']
  ]) {
    const args = ['-p', server.port, '-c', 64, '-n', requests, '-P', pipeline, '--csv', ...words];
    const [command, given] = onMeasured('redis-benchmark', args.map(String));
    const { stdout } = await exec(command, given);
    results[words[0]] = Number(/","([\d.]+)"/.exec(stdout)[1]);
  }
  await server.raw('FLUSHALL');
  return results;
}

// Our stores and the floor in turns -> {commands, results: [{atOnce, peers: {id: rounds}}], redisBenchmark}
async function measureFloor(peers, server, plan, say) {
  // the program reads its CPU in /proc
  if (!fs.existsSync('/proc/thread-self/schedstat')) return undefined;
  build();
  const measured = [];
  const commands = {};
  for (const peer of peers) {
    commands[peer.id] = await recordCall(peer, 1024);
    measured.push(peer, { id: `floor of ${peer.id}`, commands: commands[peer.id] });
  }
  const results = [];
  for (const atOnce of plan.floor.atOnce) {
    say(`the floor, ${atOnce} at once`);
    const measure = (one, ms) =>
      one.commands
        ? replay(server, one.commands, { atOnce, ms })
        : one.ask('calls', { kind: 'UasCall', size: 1024, atOnce, ms });
    results.push({ atOnce, peers: await inTurns(measured, plan, measure) });
  }
  say('redis-benchmark');
  const { requests } = plan.floor;
  const plain = {};
  for (const pipeline of [1, 16]) plain[pipeline] = await redisBenchmark(server, { pipeline, requests });
  return { commands, results, redisBenchmark: plain };
}

module.exports = measureFloor;
