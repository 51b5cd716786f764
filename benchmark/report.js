'use strict';
// docs/benchmarks.md and its charts, and the summary on the terminal.

const fs = require('node:fs');
const path = require('node:path');
const sections = require('./sections');
const srfSection = require('./srf-section');
const { figure, range, table } = require('./tables');
const { srfTargets, targets } = require('./targets');

const docs = path.join(__dirname, '..', 'docs');

function targetTable(scenario, list) {
  const rows = list.map(({ what, unit, least, aim, value, verdict }) => {
    const limit = (number) => (number === undefined ? '–' : `${figure(number)} ${unit}`.trim());
    const measured = value ? `**${range(value)}**` : '–';
    return [what, limit(least), limit(aim), least === undefined ? `${measured} ${unit}` : measured, verdict];
  });
  return table([scenario, 'asked', 'aim', 'measured', ''], rows);
}

const ofCalls = (results) => targetTable('64 calls at once, sessions of 1 KB, Redis on loopback', targets(results));
const ofSrf = (results) => targetTable('drachtio-srf, 16 calls at once, sessions of 1 KB', srfTargets(results));

function summary(results) {
  const parts = results.srf ? [ofSrf(results), srfSection.tables(results)] : [];
  if (results.calls) parts.push(ofCalls(results), sections.calls(results, { kind: 'UasCall', size: 1024, atOnce: 64 }));
  const { load } = results.machine;
  return `\n${parts.join('\n\n')}\n\n${results.seconds} s; load of the machine when it began: ${load.join(', ')}`;
}

function srf(results) {
  if (!results.srf) return 'Not measured: this version has no scripted server.';
  return `An application that answers calls through Dialogs, and connects calls as a B2BUA: drachtio-srf alone; with the data of each
call in a \`Map\` by Call-ID, as applications do it by hand; with the module. The session has 1 KB: the handler of the INVITE
fills it, that of the BYE reads it.

${ofSrf(results)}

${srfSection.tables(results)}`;
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

## With drachtio-srf

${srf(results)}

## In a minute

${ofCalls(results)}

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
- **Command**: \`npm run bench\` (${Math.round(results.seconds / 60)} minutes); \`npm run bench -- --quick\` measures what the tables of targets need, in
  some four; \`npm run bench -- --only srf\` measures the part of drachtio-srf, in one. With \`--against <folder>\` they compare two
  builds.
- **Calls**: a small host makes requests and responses as classic drachtio has them, in the measured process, and delivers
  the arrived ones once a turn of the event loop. It parses no SIP and opens no socket but those of Redis. The handler of the
  INVITE fills the session, those of ACK and BYE read and compare it. A call ends when the response to its BYE is sent. The run
  fails if the store is not empty after a measurement.
- **Calls of drachtio-srf** come by TCP from the scripted server of \`examples/drachtio-server\`, which runs in the process of the
  benchmark, on the CPU of redis-server, and plays the parties too. The measured process has the application only. A call of a
  B2BUA ends when both legs have ended; the caller hangs up in one call, the callee in the next one.
- **Garbage collections** are the times of the entries \`gc\` of a PerformanceObserver: how long collections stopped the main
  thread. That includes its waiting for the threads that collect with it, so that this time is not all CPU of the main thread.
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
