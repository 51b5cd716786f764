'use strict';
// Makes a bare clone runnable: npm dependencies and the native module, each only when missing or out of date.
// Needs nothing but node's core modules; silent when there is nothing to do.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const root = path.join(__dirname, '..');
const NODE_MAJOR = 20;

class SetupError extends Error {}

// npm is a .cmd file on Windows, which only a shell starts
const needsShell = (command) => process.platform === 'win32' && command === 'npm';

function run(command, args, options = {}) {
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    shell: needsShell(command),
    ...options
  });
  if (error || status !== 0) {
    const why = error ? error.message : signal ? `ended by ${signal}` : `exit code ${status}`;
    throw new SetupError(`\`${[command, ...args].join(' ')}\` failed: ${why}`);
  }
}

function works(command, args = ['--version']) {
  return spawnSync(command, args, { stdio: 'ignore', shell: needsShell(command) }).status === 0;
}

// when a file was last written, in ms; 0 when it does not exist
function writtenAt(...segments) {
  return fs.statSync(path.join(root, ...segments), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function requireNode() {
  if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR) {
    throw new SetupError(`Node ${NODE_MAJOR} or newer is needed, this is ${process.version}: https://nodejs.org`);
  }
}

function requireRust() {
  if (works('cargo')) return;
  // rustup's own place: a shell that was open while it installed does not have it in its PATH yet
  const bin = path.join(process.env.CARGO_HOME || path.join(os.homedir(), '.cargo'), 'bin');
  process.env.PATH = bin + path.delimiter + process.env.PATH;
  if (!works('cargo')) {
    throw new SetupError(
      'A Rust toolchain is needed to build the native module, cargo was not found: https://rustup.rs'
    );
  }
}

function installDependencies() {
  const installed = writtenAt('node_modules', '.package-lock.json');
  if (installed && installed >= writtenAt('package-lock.json')) return;
  console.log('setup: npm ci');
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
}

function sources() {
  const inSrc = fs.readdirSync(path.join(root, 'src'), { recursive: true }).map((name) => path.join('src', name));
  return [...inSrc, 'Cargo.toml', 'Cargo.lock', 'build.rs'];
}

// The addon of this platform, as `napi build --platform` names it (drachtio-session.linux-x64-gnu.node); undefined
// when there is none.
function nativeModule() {
  const prefix = `drachtio-session.${process.platform}-${process.arch}`;
  return fs.readdirSync(root).find((name) => name.startsWith(prefix) && name.endsWith('.node'));
}

function buildNativeModule() {
  const built = nativeModule();
  const newest = Math.max(...sources().map((name) => writtenAt(name)));
  if (built && writtenAt(built) >= newest && writtenAt('native.js')) return;
  requireRust();
  console.log(`setup: building the native module (release)${built ? ', its sources have changed' : ''}`);
  run('npm', ['run', '--silent', 'build']);
}

function setup({ build = true } = {}) {
  requireNode();
  installDependencies();
  if (build) buildNativeModule();
}

// Runs a script's main function; a failure that names its own remedy needs no stack trace.
function main(work) {
  Promise.resolve()
    .then(work)
    .catch((err) => {
      console.error(err instanceof SetupError ? `\n${err.message}` : err);
      process.exitCode = 1;
    });
}

module.exports = { SetupError, main, nativeModule, requireRust, root, run, setup, works };

if (require.main === module) main(() => setup());
