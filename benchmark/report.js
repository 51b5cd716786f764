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
