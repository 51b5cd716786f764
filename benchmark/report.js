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

// what profiles have shown, written by hand
const findings = () => fs.readFileSync(path.join(__dirname, 'findings.md'), 'utf8').trimEnd();

function page(results) {
  const { machine } = results;
  return `# Benchmarks

<!-- Written by \`npm run bench\`; change benchmark/, not this file. -->

The cost of a call with drachtio-session, with the module that it replaces, and with other stores of sessions, measured in
turns in one run on one machine (${machine.date}). Figures are medians of ${results.plan.rounds} rounds (${results.plan.decisiveRounds} for 64 calls at once on Redis
with sessions of 1 KB), with the lowest and the highest in brackets. A ratio is the median of the ratios of the rounds.
Ratios hold on other machines; absolute figures do not.

## In a minute

${targetTable(results)}

![CPU of the main thread per call](benchmarks-cpu.svg)
![Calls per second](benchmarks-rate.svg)
![99th percentile of a call](benchmarks-p99.svg)

Whole calls, 64 at once, sessions of 1 KB:

${sections.calls(results, { kind: 'UasCall', size: 1024, atOnce: 64 })}

${sections.all(results).join('\n\n')}

${findings()}

## How it was measured

- **Machine**: ${machine.machine}; ${machine.system}; ${machine.pinning}; load when the run began ${machine.load[0]}.
- **Versions**: drachtio-session ${machine.module}; Node ${machine.node}; Redis ${machine.redis}; ${machine.rust};
  ${machine.peers}.
- **Command**: \`npm run bench\` (${Math.round(results.seconds / 60)} minutes); \`npm run bench -- --quick\` measures what the first table needs, in
  some three. \`npm run bench -- --quick --against <folder>\` compares two builds.
- **Calls**: a small host makes requests and responses as classic drachtio has them, in the measured process, and delivers
  the arrived ones once a turn of the event loop. It parses no SIP and opens no socket but those of Redis. The handler of the
  INVITE fills the session, those of ACK and BYE read and compare it. A call ends when the response to its BYE is sent. The run
  fails if the store is not empty after a measurement.
- **Turns**: each measurement begins with ${results.plan.wakeMs} ms that do not count, because the peers displace each other from the CPU's caches.
- **CPU of the main thread** is the kernel's count for that thread. *Net* figures, and ratios of CPU per call, exclude the
  driver's own share, which is measured with a \`Map\` in place of a module.
- **Peers** have a process each and share one Redis server. *classic* is the algorithm of the module of 2014, written again
  for this comparison (\`benchmark/peers/classic\`): two levels of entries, a checksum before and after each save, a walk over the
  tree for class markers, one command for each key. *express-session* is used through its \`Session\` and \`Store\`, without
  cookies and signatures; a session has one key, so that there are no B2BUA calls.
- **The floor**: a program on redis-rs, with one thread and one multiplexed connection, repeats the commands that our store
  sends for a call (recorded by MONITOR), one after the other, for as many calls at once.
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
