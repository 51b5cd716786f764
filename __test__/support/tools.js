'use strict';
// What the tests of stores, data and processes share: a store of either kind, sessions in it, a process of its own.

const path = require('node:path');
const { spawn } = require('node:child_process');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../..');
const { RedisServer } = require('./redis');

const root = path.join(__dirname, '..', '..');
const { MemoryStore, RedisStore, Session } = session;

// Longer than anything here takes: a test that waits in vain fails instead of hanging.
const PATIENCE_MS = 15000;

// Waits until `check` gives something true, and gives that.
async function until(check, what) {
  for (let waited = 0; waited < PATIENCE_MS; waited += 5) {
    const found = await check();
    if (found) return found;
    await sleep(5);
  }
  throw new Error(`waited in vain for ${what}`);
}

// A promise, but one that fails when it takes forever.
async function within(promise, what) {
  const ended = new AbortController();
  const late = sleep(PATIENCE_MS, null, { signal: ended.signal }).then(() => {
    throw new Error(`waited in vain for ${what}`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    ended.abort();
    late.catch(() => undefined);
  }
}

// A redis-server that ends with the test.
async function startRedis(t, ...args) {
  const server = await RedisServer.start(...args);
  t.after(() => server.stop());
  return server;
}

// A RedisStore that is closed at the end of the test; its errors are kept in `errors`.
function connect(t, options) {
  const store = new RedisStore(options);
  store.errors = [];
  store.on('error', (err) => store.errors.push(err));
  t.after(() => store.close());
  return store;
}

// A store of a kind, 'memory' or 'redis', with the server it needs.
async function openStore(t, kind, options = {}) {
  if (kind === 'memory') return new MemoryStore(options);
  const { port } = await startRedis(t);
  return connect(t, { port, host: '127.0.0.1', ...options });
}

// A session in the store.
async function save(store, id, data) {
  const mks = new Session({ store });
  mks.set(id);
  mks.session = data;
  await mks.save();
  return mks;
}

const load = (store, id) => Session.loadFromStorage({ store }, id);

// The data that a fresh load of the session finds: a plain object.
async function stored(store, id) {
  const mks = await load(store, id);
  return mks && { ...mks.session };
}

// Calls a method with a callback and gives what came: [err, value].
const called = (object, method, ...args) =>
  within(
    new Promise((resolve) => {
      object[method](...args, (...came) => resolve(came));
    }),
    `${method}() to call back`
  );

// Runs JavaScript in a process of its own, in which `session` is the module. -> {code, signal, out, err, stuck}
function run(code, { env = {}, module = 'commonjs', preamble = true } = {}) {
  const begin = preamble ? `const session = require(${JSON.stringify(root)});\n` : '';
  const args = [`--input-type=${module}`, '-e', begin + code];
  const child = spawn(process.execPath, args, { cwd: root, env: { ...process.env, NODE_TEST_CONTEXT: '', ...env } });
  const result = { out: '', err: '', stuck: false };
  child.stdout.setEncoding('utf8').on('data', (text) => (result.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (result.err += text));
  const patience = setTimeout(() => {
    result.stuck = true;
    child.kill('SIGKILL');
  }, PATIENCE_MS);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exitCode, signal) => {
      clearTimeout(patience);
      resolve({ ...result, code: exitCode, signal });
    });
  });
}

// A request from the network as the classic host has it, and what `res.send` lets through.
function message(method, id, toTag = false) {
  const headers = { 'call-id': id, to: toTag ? '<sip:a@b>;tag=1' : '<sip:a@b>', from: '<sip:c@d>;tag=2' };
  const req = { method, id, source: 'network', canceled: false, get: (name) => headers[name.toLowerCase()] };
  const res = {};
  const left = new Promise((resolve) => {
    res.send = (...args) => resolve(args);
  });
  return { req, res, left };
}

// Numbers that look random and come again with the same seed (mulberry32).
function random(seed) {
  let state = seed >>> 0;
  return (below = 1) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    const fraction = ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    return below === 1 ? fraction : Math.floor(fraction * below);
  };
}

// a value of each kind that JSON has
const VALUES = {
  text: 'x',
  empty: '',
  number: -1.5e-7,
  zero: 0,
  yes: true,
  no: false,
  list: [1, [null], {}],
  map: { a: {} }
};

// prettier-ignore
module.exports = {
  VALUES, called, connect, load, message, openStore, random, root, run, save, startRedis, stored, until, within
};
