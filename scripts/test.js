'use strict';
// npm test: sets up, runs the Rust and the JavaScript tests, and closes with their counts.
// `-- --javascript` leaves the Rust tests and the build out: for a machine that was given a finished native module.
// `--long` (npm run test:long) runs only the simulation and the files whose sizes can be chosen, in their long form.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { main, requireRust, root, setup } = require('./setup');
const { requireRedisServer } = require('./redis-server');
const { LONG_FILES, ONLY_LONG_FILES } = require('../__test__/support/sizes');

// Longer than any file of tests takes: a test that hangs fails then, and does not hold up everything.
const FILE_TIMEOUT_MS = 10 * 60 * 1000;
// Most tests wait for servers and for deadlines, so each core has several files; the long forms keep it busy by themselves.
const cores = os.availableParallelism();
const AT_ONCE = { short: 2 * cores, long: cores };
// One profile for all of Rust, so that it is compiled once. The simulation plays 20000 histories, in the long form a million.
const RUST = ['test', '--profile', 'simulation', '--no-fail-fast', '--test', 'simulation'];
const RUST_FORMS = {
  short: { args: [...RUST, '--lib'] },
  long: { args: [...RUST, 'histories'], env: { HISTORIES: '1000000', THREADS: String(cores) } }
};

const sum = (text, pattern) => [...text.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);

// Runs a command, shows what it prints on stdout as it comes, and resolves to that text and the exit code.
function show(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const options = { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] };
    const child = spawn(command, args, options);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
      process.stdout.write(chunk);
    });
    child.on('error', reject).on('close', (code) => resolve({ text, code }));
  });
}

// A runner that ends badly without naming a failed test (it did not compile, it crashed) is one failure.
function counts(passed, failed, code) {
  return { passed, failed: failed || (code === 0 ? 0 : 1) };
}

async function rustTests(form) {
  requireRust();
  const { args, env } = RUST_FORMS[form];
  const { text, code } = await show('cargo', args, env);
  return counts(sum(text, /^test result: .*? (\d+) passed;/gm), sum(text, /^test result: .*? (\d+) failed;/gm), code);
}

const fileOf = (name) => path.join('__test__', `${name}.test.js`);

function testFiles(form) {
  if (form === 'long') return LONG_FILES.map(fileOf);
  const leftOut = ONLY_LONG_FILES.map(fileOf);
  return fs
    .readdirSync(path.join(root, '__test__'), { recursive: true })
    .filter((name) => name.endsWith('.test.js'))
    .toSorted()
    .map((name) => path.join('__test__', name))
    .filter((file) => !leftOut.includes(file));
}

async function javascriptTests(form) {
  const files = testFiles(form);
  // without files, node --test would look for some itself
  if (files.length === 0) return { passed: 0, failed: 0 };
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'drachtio-session-test-'));
  const tap = path.join(dir, 'results.tap');
  try {
    const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout'];
    reporters.push('--test-reporter=tap', `--test-reporter-destination=${tap}`);
    const limits = [`--test-timeout=${FILE_TIMEOUT_MS}`, `--test-concurrency=${AT_ONCE[form]}`];
    const env = form === 'long' ? { LONG: '1' } : {};
    const { code } = await show(process.execPath, ['--test', ...limits, ...reporters, ...files], env);
    const results = fs.existsSync(tap) ? fs.readFileSync(tap, 'utf8') : '';
    // the totals are the last lines; what a test printed may look like them
    const totals = results.slice(results.lastIndexOf('\n# tests '));
    return counts(sum(totals, /^# pass (\d+)$/gm), sum(totals, /^# (?:fail|cancelled) (\d+)$/gm), code);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

main(async () => {
  const form = process.argv.includes('--long') ? 'long' : 'short';
  const javascriptOnly = process.argv.includes('--javascript');
  setup({ build: !javascriptOnly });
  requireRedisServer();
  const rust = javascriptOnly ? { passed: 0, failed: 0 } : await rustTests(form);
  const javascript = await javascriptTests(form);
  const passed = rust.passed + javascript.passed;
  const failed = rust.failed + javascript.failed;
  console.log('');
  if (!javascriptOnly) console.log(`rust: ${rust.passed} passed, ${rust.failed} failed`);
  console.log(`javascript: ${javascript.passed} passed, ${javascript.failed} failed`);
  console.log(`${passed} passed, ${failed} failed`);
  const nothingRan = javascript.passed === 0 || (!javascriptOnly && rust.passed === 0);
  if (failed > 0 || nothingRan) process.exitCode = 1;
});
