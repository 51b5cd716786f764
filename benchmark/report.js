'use strict';
// docs/benchmarks.md and its charts, and the summary on the terminal.

const fs = require('node:fs');
const path = require('node:path');
const sections = require('./sections');
const { figure, range, table } = require('./tables');
const { targets } = require('./targets');

const docs = path.join(__dirname, '..', 'docs');

function targetTable(results) {
  const rows = targets(results).map(({ what, unit, least, aim, value, verdict }) => {
    const limit = (number) => (number === undefined ? '–' : `${figure(number)} ${unit}`.trim());
    const measured = value ? `**${range(value)}**` : '–';
    return [what, limit(least), limit(aim), least === undefined ? `${measured} ${unit}` : measured, verdict];
  });
  return table(['64 calls at once, sessions of 1 KB, Redis on loopback', 'asked', 'aim', 'measured', ''], rows);
}

function summary(results) {
  const parts = [targetTable(results), sections.calls(results, { kind: 'UasCall', size: 1024, atOnce: 64 })];
  const { load } = results.machine;
  return `\n${parts.join('\n\n')}\n\n${results.seconds} s; load of the machine when it began: ${load.join(', ')}`;
}

// What profiles have shown, and what was made of it: to be brought up to date by hand.
const REST = `## Where the time goes, and what was tried

Of the main thread's time in a call at 64 at once (\`perf\`, near cache on): JavaScript of the middleware and of the driver, with
the runtime functions that it calls, 36 %, the native engine 31 %, \`JSON.stringify\` of the one save 12 %, the kernel 8 %, crossing
into native code and back 3 %, the rest collections of garbage and compiling. Steps that have paid, 64 calls at once (× is new against old,
both in one process in turns):

| step | main thread, µs a call | besides |
|---|--:|---|
| sessions that were used a moment ago are kept with their data; what a turn asks for is handed over together | 55 → 38 | |
| mimalloc | 38 → 33 | |
| data is compared with a copy, not written as JSON again | 30 → 27.6 | |
| a faster hash for the engine's tables | 28 → 26.2 | |
| sockets on Node's own event loop, no thread for the connections | 27 → 31 | process 37 → 32 µs, calls/s + 43 %, one call at a time 290 → 180 µs of CPU |
| arguments by value, two properties less on each request, names shared, data compared in one loop | 31 → 26 | |
| the ordinary ways through the scripts are short | | Redis 28 → 20 µs a call |
| one connection in place of two | 26.5 → 24 | calls/s + 28 %, p99 5 → 4.3 ms |
| small boxes for the usual operations | | bare \`set\` and \`get\` 3.35 → 2.98 µs |
| completions as arguments of one call | × 0.98 | bare \`set\` and \`get\` × 0.97 |
| strings in one pass | × 0.985 | bare × 0.96 |
| operations without wakers and channels, JSON strings checked faster, fewer closures | | bare × 0.96, × 0.98, × 0.97 |
| the response to a BYE leaves when the removal is sent | | a call that is alone 0.24 → 0.12 ms |
| \`session\` and \`mks\` by way of the class of requests, no prototype for each | × 0.96 | |
| live sessions in a Map of places, no properties named by Call-IDs | × 0.955 | |
| no tick for each response to a BYE; a place of its own for each call into native code | × 0.985 | bare × 0.99 |
| 64 KB read at once in place of the parser's 8 KB | | bare × 0.96 |
| a session in the near cache is known to be current without a look there | × 0.96 | |
| external values of our own: those of napi-rs are in a table of the process, under a lock | × 0.98 | bare × 0.974 |
| functions that messages call without what napi-rs does around them: 50 ns in place of 130 | × 0.982 | bare × 0.966 |
| a string is written as JSON where it is read, lists keep their room | | bare × 0.97 |
| 28 allocations for a call, not 36 | × 0.978 | |

What stands in the way of the rest:

- **CPU of the main thread.** With a thread for the connections it was less by some 4 µs a call and 1 µs an operation, at the
  price of more CPU in all, fewer calls per second and a fifth more latency of a call that is alone. What remains is in many
  small parts; the largest is \`JSON.stringify\`, 2 to 3 µs. Single runs on a noisy machine differ: the ratio to classic on node-redis
  was 8.0 in two short runs before the last step, 8.5 and 8.8 in two full ones after it, and that of p99 to classic on ioredis 3.9
  and 5.4, 4.7 and 4.8. Single rounds are further apart, as the brackets show.
- **One call at a time.** One round trip is waited for, where classic waits for seven: the response to an INVITE needs the session to
  be stored. That to a BYE needs nothing from the store but that it be told, and leaves when the removal is written to the socket; it
  waits where something is to be saved.
- **Bare \`set\` and \`get\`.** 0.8 µs are the kernel's. The rest is in parts of under 0.2: the promise, the strings on their way in
  and out, the parser of replies. The ratio was 3.4 to 3.9 in four runs of the benchmark; 2.5 to 3.7 in six before the last four steps.
- **Memory in the process.** Of the 310 bytes beside a text of 1 KB, 250 are the session's: 128 its entry with the links of the
  order, 57 its deadline, 48 its name, 19 its place in the table. 1.2 times the data would leave 150 for these: it would take
  compressing the text, and CPU with each save and load.
- An object that Node-API can finalize costs 0.6 µs for each session. A table with a \`FinalizationRegistry\` saves half of
  that, but lets go only with full collections. Writing to the sockets before the turn is over (after 4, 8, 16 or 32 commands)
  changes nothing.
- A \`Map\` of the live sessions themselves: the tables that it has outgrown keep young objects alive, and collections took up to
  three times as long; a Map of numbers does not. Texts given back when their session ends, references counted without atomic
  operations, a promise with a closure less, strong references in place of weak ones while a session is kept anyway, data without
  instances written without the hooks for them, smaller futures for values, one reading of the clock for an operation, keys
  beside their session in memory: no effect that could be told from noise.
- A look at a text for many bytes at once (SIMD) is none where the compiler has put the loop into another function: 0.9 µs more
  for a value of 1 KB.`;

function page(results) {
  const { machine } = results;
  return `# Benchmarks

<!-- Written by \`npm run bench\`; change benchmark/, not this file. -->

What a call costs with drachtio-session, with the module it replaces, and with what else could hold its sessions: all
measured in one run on one machine, in turns. Figures are medians of ${results.plan.rounds} rounds (${results.plan.decisiveRounds} where 64 plain calls go at once on
Redis, with sessions of 1 KB), with the lowest and the highest in brackets; ratios are taken round by round. Made on ${machine.date}, and as good as that machine:
trust the ratios.

## In a minute

${targetTable(results)}

![CPU of the main thread per call](benchmarks-cpu.svg)
![Calls per second](benchmarks-rate.svg)
![99th percentile of a call](benchmarks-p99.svg)

Whole calls, 64 at once, sessions of 1 KB:

${sections.calls(results, { kind: 'UasCall', size: 1024, atOnce: 64 })}

${sections.all(results).join('\n\n')}

${REST}

## How it was measured

- **Machine**: ${machine.machine}; ${machine.system}; ${machine.pinning}; load when the run began ${machine.load[0]}.
- **Versions**: drachtio-session ${machine.module}; Node ${machine.node}; Redis ${machine.redis}; ${machine.rust};
  ${machine.peers}.
- **Command**: \`npm run bench\` (${Math.round(results.seconds / 60)} minutes); \`npm run bench -- --quick\` measures what the first table needs, in
  under three.
- **The calls** go through the middleware in the process that is measured: a small host makes requests and responses as
  classic drachtio has them, and delivers what has arrived once a turn of the event loop. No SIP is parsed and no socket but
  those of Redis is open. A call is over when the response to its BYE has left. The session is filled in the INVITE and read, and compared, in ACK and BYE. After each
  run the store is empty, or the run fails.
- **Turns**: each begins with ${results.plan.wakeMs} ms that do not count, because caches may have gone cold while the others had theirs.
- **CPU of the main thread** is the kernel's count for that thread. What the driver itself needs, measured with a
  \`Map\` in the place of a module, is subtracted from figures called *net*, and from ratios of CPU per call.
- **Peers** each have a process of their own, and use one redis-server in turns. *classic* is the algorithm of the
  module of 2014, written anew for this comparison (\`benchmark/peers/classic\`): two levels of entries, a checksum
  before and after each save, a walk over the tree for class markers, one command per key. *express-session* is driven through
  its \`Session\` and \`Store\`, without cookies and signatures, and has one key for a session, so no B2BUA.
- **The floor** are the very commands that our store sent for a call, recorded by MONITOR and sent again one after the other
  by a program on redis-rs, one thread, one multiplexed connection, for as many calls at once.
`;
}

function write(results) {
  fs.writeFileSync(path.join(docs, 'benchmarks.md'), page(results));
  for (const [name, svg] of Object.entries(sections.charts(results))) {
    fs.writeFileSync(path.join(docs, `benchmarks-${name}.svg`), svg);
  }
  console.log(`bench: docs/benchmarks.md and its charts are written`);
}

module.exports = { summary, write };
