'use strict';
// A process of its own that runs a piece of JavaScript.

const path = require('node:path');
const { spawn } = require('node:child_process');
const { within } = require('./waiting');

const root = path.join(__dirname, '..', '..');

// Runs JavaScript in a process of its own, in which `session` is the module. -> {code, signal, out, err, stuck}
async function run(code, { env = {}, module = 'commonjs', preamble = true } = {}) {
  const begin = preamble ? `const session = require(${JSON.stringify(root)});\n` : '';
  const args = [`--input-type=${module}`, '-e', begin + code];
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, NODE_TEST_CONTEXT: '', ...env } });
  const result = { out: '', err: '', stuck: false };
  child.stdout.setEncoding('utf8').on('data', (text) => (result.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (result.err += text));
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode, signal) => resolve({ code: exitCode, signal }));
  });
  within(ended, 'the process to end').catch(() => {
    result.stuck = true;
    child.kill('SIGKILL');
  });
  const end = await ended;
  return { ...result, ...end };
}

module.exports = { root, run };
