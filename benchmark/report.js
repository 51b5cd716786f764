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
    const limit = (number) => `${figure(number)} ${unit}`.trim();
    return [what, limit(least), limit(aim), value ? `**${range(value)}**` : '–', verdict];
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
the runtime functions that it calls, 42 %, the native engine 26 %, crossing into it 12 %, \`JSON.stringify\` of the one save 9 %,
the kernel 5 %, compiling and collections of garbage 6 %. The thread of the connections takes 10 µs of a call, a third of that in the
kernel. Steps that have paid, in µs of the main thread for a call, 64 at once:

| step | before | after |
|---|--:|--:|
| sessions that were used a moment ago are kept with their data; what a turn asks for is handed over together (5 → 22 commands in a pipeline) | 55 | 38 |
| mimalloc | 38 | 33 |
| data is compared with a copy, not written as JSON again | 30 | 27.6 |
| a faster hash for the engine's tables | 28 | 26.2 |

For a call that is alone: 435 → 345 µs, by sparing the thread of the connections its wake-ups of itself and a timer for each
command (9 → 4 system calls).

Other work went on on the machine while this page was measured, and whole calls and the floor were measured again right after the
rest. On a quiet one the first four ratios of the table were 6.3, 3.8, 3.1 and 2.4, and that of one call at a time 2.1. The
memory of a session in the memory store was 1.38 times the data before mimalloc came, 1.58 times with it, and is 1.3 times
since the text fills its blocks.

What stands in the way of the rest:

- **CPU and rate.** No single part is left that is large. What remains to be had is in many small ones: a JavaScript object that
  Node-API can finalize costs 1.5 µs, two properties that are defined on each request 1 µs a call, each crossing 0.1 µs and more.
- **One call at a time.** Each command goes from one thread to the other and back; where all that is measured has one CPU, as
  here, they take turns on it. It would take sockets on the JavaScript thread, which cost more of it when there are many calls.
- **Memory in the process.** Of the 310 bytes beside a text of 1 KB, 250 are the session's: 128 its entry with the links of the
  order, 57 its deadline, 48 its name, 19 its place in the table. 1.2 times the data would leave 150 for these: it would take
  compressing the text, and CPU with each save and load.
- One connection in place of two spares 5 % of CPU, and no more.
- A response to a BYE that does not wait for the removal would halve the latency of a call. It waits: what was
  answered has been done.`;

function page(results) {
  const { machine } = results;
  return `# Benchmarks

<!-- Written by \`npm run bench\`; change benchmark/, not this file. -->

What a call costs with drachtio-session, with the module it replaces, and with what else could hold its sessions: all
measured in one run on one machine, in turns. Figures are medians of ${results.plan.rounds} rounds, with the lowest
and the highest in brackets; ratios are taken round by round. Made on ${machine.date}, and as good as that machine:
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
  those of Redis is open. The session is filled in the INVITE and read, and compared, in ACK and BYE. After each
  run the store is empty, or the run fails.
- **CPU of the main thread** is the kernel's count for that thread. What the driver itself needs, measured with a
  \`Map\` in the place of a module, is subtracted from figures called *net*, and from ratios of CPU per call.
- **Peers** each have a process of their own and a redis-server that nobody else uses. *classic* is the algorithm of the
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
