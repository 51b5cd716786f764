'use strict';
// npm run check: format, lints, docs, typings; that no import runs in a circle, that no constant is defined twice, and that
// the generated files are up to date. A failure does not stop the later steps; the output of a failed step is shown.

const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { main, requireRust, root, setup } = require('./setup');

const GENERATED = ['native.js', 'native.d.ts'];

// the program of an npm package, without the shell files in node_modules/.bin that differ between systems
const bin = (name, file, ...args) => [process.execPath, path.join(root, 'node_modules', name, file), ...args];

const STEPS = [
  { name: 'prettier', command: bin('prettier', 'bin/prettier.cjs', '--check', '.') },
  { name: 'oxlint', command: bin('oxlint', 'bin/oxlint', '--deny-warnings') },
  { name: 'no import circle', command: [process.execPath, 'scripts/import-circles.js'] },
  { name: 'rustfmt', command: ['cargo', 'fmt', '--check'] },
  { name: 'clippy', command: ['cargo', 'clippy', '--all-targets', '--', '-D', 'warnings'] },
  // not one of all targets, since a plain `cargo test` leaves it out
  { name: 'clippy of the simulation', command: ['cargo', 'clippy', '--test', 'simulation', '--', '-D', 'warnings'] },
  {
    name: 'rustdoc',
    command: ['cargo', 'doc', '--no-deps', '--document-private-items'],
    env: { RUSTDOCFLAGS: '-D warnings' }
  },
  { name: 'tsc', command: bin('typescript', 'bin/tsc', '--project', 'tsconfig.json') },
  { name: 'napi build', command: ['npm', 'run', '--silent', 'build'] },
  { name: 'constants are defined once', command: [process.execPath, 'scripts/constants.js'] },
  { name: 'generated files are committed', command: ['git', 'ls-files', '--error-unmatch', '--', ...GENERATED] },
  { name: 'generated files are up to date', command: ['git', 'diff', '--exit-code', 'HEAD', '--', ...GENERATED] }
];

function passes({ name, command: [program, ...args], env }) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 64 * 1024 * 1024,
    shell: process.platform === 'win32' && program === 'npm',
    stdio: ['ignore', 'pipe', 'pipe']
  });
  const ok = !error && status === 0;
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${name}`);
  if (!ok) console.log([stdout, stderr, error && error.message].filter(Boolean).join('\n').trimEnd());
  return ok;
}

main(() => {
  setup({ build: false });
  requireRust();
  const failed = STEPS.filter((step) => !passes(step));
  if (failed.length > 0) {
    console.log(`check: ${failed.length} of ${STEPS.length} failed: ${failed.map(({ name }) => name).join(', ')}`);
    process.exitCode = 1;
  }
});
