'use strict';
// What the module does to its process: when it may exit, worker threads, ES modules.

const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');
const { pathToFileURL } = require('node:url');
const { Worker } = require('node:worker_threads');
const native = require('../../lib/native');
const { freePort } = require('../support/redis');
const { root, run } = require('../support/process');
const { startRedis } = require('../support/sessions');
const { within } = require('../support/waiting');

const redis = (port, more = '') => `new session.RedisStore({ host: '127.0.0.1', port: ${port}${more} })`;

function ended(result, out) {
  assert.deepEqual([result.stuck, result.code, result.signal], [false, 0, null], result.err);
  assert.equal(result.out, out, result.err);
}

test('what is not a session, or not an engine, is refused by every function on one', () => {
  const [engine, record] = [native.javascriptEngine(), native.newRecord()];
  for (const other of [engine, {}, 1, 'mks:a', null, undefined]) {
    assert.throws(() => native.recordUuid(other));
    assert.throws(() => native.engineSave(engine, 1, other, '{}', 0));
  }
  for (const other of [record, {}, 1, null, undefined]) assert.throws(() => native.engineDrain(other));
  assert.equal(native.recordUuid(record), native.recordUuid(record));
});

test('require alone lets the process exit', async () => {
  ended(
    await run('console.log(typeof session, session.length >= 0, typeof session.RedisStore)'),
    'function true function\n'
  );
});

test('an idle MemoryStore lets the process exit', async () => {
  ended(await run("new session.MemoryStore({ ttl: 1000, max: 5 }).set('a', 1, () => console.log('set'))"), 'set\n');
  ended(await run("session(); console.log('made')"), 'made\n');
});

test('an idle RedisStore lets the process exit, after connect was heard', async (t) => {
  const { port } = await startRedis(t);
  ended(await run(`${redis(port)}.on('connect', () => console.log('connect'))`), 'connect\n');
  ended(await run(`${redis(port, ', poolSize: 8')}.set('a', 1, (err) => console.log('set', err))`), 'set null\n');
});

test('a RedisStore whose server is not there lets the process exit, after error was heard', async () => {
  const port = await freePort();
  ended(await run(`${redis(port)}.on('error', (err) => console.log(err.code))`), 'ERR_SESSION_STORE_UNAVAILABLE\n');
  const unheard = await run(`${redis(port)}; console.log('made')`);
  ended(unheard, 'made\n');
  assert.match(unheard.err, /SessionWarning.*cannot be reached/);
});

test('pending operations hold the process until they are done', async (t) => {
  const server = await startRedis(t);
  const work = `
    const store = ${redis(server.port)};
    let done = 0;
    store.once('connect', () => {
      for (let i = 0; i < 2000; i++) store.set('n' + i, i, (err) => { if (!err) done++; });
      const mks = new session.Session({ store });
      mks.set('call');
      mks.save().then(() => store.get('n5')).then((value) => console.log('got', value));
    });
    process.on('exit', () => console.log('done', done));
  `;
  ended(await run(work), 'got 5\ndone 2000\n');
  assert.equal(await server.size(), 2001);
});

test('an operation of a JavaScript store holds the process until its deadline', async () => {
  const silent = await run(`
    const store = { get() {}, set() {}, destroy() {} };
    session({ store, timeout: 100 });
    session.Session.loadFromStorage({ store }, 'a', (err) => console.log(err.code));
  `);
  ended(silent, 'ERR_SESSION_TIMEOUT\n');
});

test('a closed store lets the process exit, whenever it was closed', async (t) => {
  const { port } = await startRedis(t);
  const after = (event) => `const s = ${redis(port)}; s.once('${event}', () => s.close(() => console.log('closed')));`;
  ended(await run(after('connect')), 'closed\n');
  ended(await run(`const s = ${redis(port)}; s.set('a', 1, () => s.quit(() => console.log('closed')));`), 'closed\n');
  ended(await run("const s = new session.MemoryStore(); s.close(() => console.log('closed'));"), 'closed\n');
  ended(await run(`const s = ${redis(port)}; s.close(() => console.log('closed'));`), 'closed\n');
});

test('stores that are not used any more are collected, closed or not', async (t) => {
  const server = await startRedis(t);
  const code = `
    require('v8').setFlagsFromString('--expose-gc');
    const gc = require('vm').runInNewContext('gc');
    let collected = 0;
    const registry = new FinalizationRegistry(() => collected++);
    const use = async (store, closes) => {
      registry.register(store);
      await store.set('a', 1);
      if (closes) await store.close();
    };
    const pause = () => new Promise((resolve) => setTimeout(resolve, 100));
    (async () => {
      for (let i = 0; i < 10; i++) {
        await use(${redis(server.port)}, true);
        await use(${redis(server.port)}, false);
        await use(new session.MemoryStore(), false);
      }
      // the last ones may be on the stack still
      for (let i = 0; i < 100 && collected < 27; i++) {
        gc();
        await pause();
      }
      console.log(collected >= 27 || collected);
      process.exit();
    })();`;
  ended(await run(code), 'true\n');
});

test('process.exit() in the middle of everything is no crash', async (t) => {
  const { port } = await startRedis(t);
  for (const when of [
    'process.exit(0)',
    'setImmediate(() => process.exit(0))',
    "s.once('connect', () => process.exit(0))"
  ]) {
    ended(
      await run(`const s = ${redis(port)}; for (let i = 0; i < 5000; i++) s.set('n' + i, i, () => {}); ${when};`),
      ''
    );
  }
});

test("an error thrown by a callback is the process's, and the other callbacks come all the same", async (t) => {
  const { port } = await startRedis(t);
  for (const store of ['new session.MemoryStore()', redis(port)]) {
    const result = await run(`
      const store = ${store};
      const caught = [];
      process.on('uncaughtException', (err) => caught.push(err.message));
      let came = 0;
      for (let i = 0; i < 10; i++) {
        store.set('n' + i, i, () => {
          came++;
          if (i === 3) throw new Error('mine');
        });
      }
      process.on('exit', () => console.log(came, caught));
    `);
    ended(result, "10 [ 'mine' ]\n");
  }
});

test('a defect of the native engine is an error of what was asked for, no more', async () => {
  const result = await run(`
    const native = require(${JSON.stringify(path.join(root, 'lib/native'))});
    const { engineSave, engineFlush, engineDrain } = native;
    const panic = () => {
      throw Object.assign(new Error('a panic'), { code: 'GenericFailure' });
    };
    const store = new session.MemoryStore();
    const told = [];
    store.on('error', (err) => told.push(err.code));
    const app = require(${JSON.stringify(path.join(root, 'examples/classic-host'))})();
    app.use(session({ store, app }));
    app.invite((req, res) => {
      req.session.user = 'alice';
      res.send(200);
    });
    (async () => {
      native.engineSave = native.engineFlush = native.engineDrain = panic;
      const { statusCode } = await app.peer.request('INVITE', { callId: 'a' });
      const failed = await new session.Session({ store }).set('b').save().catch((err) => err);
      Object.assign(native, { engineSave, engineFlush, engineDrain });
      await app.peer.request('INVITE', { callId: 'c' });
      console.log(statusCode, failed.code, failed.message, await store.length(), told.join());
    })();
  `);
  const message = 'drachtio-session itself has failed, please report it: a panic';
  ended(result, `200 ERR_SESSION_STORE ${message} 1 ERR_SESSION_STORE\n`);
});

const WORKER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const session = require(${JSON.stringify(root)});
  const { port, name, endless } = workerData;
  const memory = new session.MemoryStore({ max: 100 });
  const store = new session.RedisStore({ host: '127.0.0.1', port, prefix: name + ':' });
  async function round(target, i) {
    const mks = new session.Session({ store: target });
    mks.set('call-' + i);
    mks.session.at = new Date(i);
    await mks.save();
    const found = await session.Session.loadFromStorage({ store: target }, 'call-' + i);
    if (found.session.at.getTime() !== i) throw new Error('lost ' + i);
    await found.del('call-' + i);
  }
  (async () => {
    for (let i = 0; endless || i < 50; i++) {
      await Promise.all([round(memory, i), round(store, i), round(store, i + 1e6), store.set('n', i)]);
      if (i === 5) parentPort.postMessage('busy');
    }
    if (name !== 'w1') await store.close();
    parentPort.postMessage('done');
  })();
`;

// Four workers at once, of which some are terminated in mid-operation. -> exit codes
function workers(port, terminated) {
  const all = ['w0', 'w1', 'w2', 'w3'].map((name, i) => {
    const endless = terminated.includes(i);
    const worker = new Worker(WORKER, { eval: true, workerData: { port, name, endless } });
    return new Promise((resolve, reject) => {
      worker.on('error', reject);
      worker.on('exit', (code) => resolve(code));
      if (endless) worker.on('message', () => worker.terminate());
    });
  });
  return within(Promise.all(all), 'the workers to end');
}

test('four worker threads use both stores and end by themselves', async (t) => {
  const server = await startRedis(t);
  assert.deepEqual(await workers(server.port, []), [0, 0, 0, 0]);
  assert.equal(await server.size(), 4, 'one value of each worker');
});

test('worker threads that are terminated in mid-operation, 20 times, in a process that goes on', async (t) => {
  const { port } = await startRedis(t);
  // in a process of its own: a crash is seen there
  const code = `
    const { Worker } = require('node:worker_threads');
    const within = (promise) => promise;
    const WORKER = ${JSON.stringify(WORKER)};
    ${workers}
    (async () => {
      for (let i = 0; i < 20; i++) {
        const terminated = [[0, 1, 2, 3], [0, 2], [3]][i % 3];
        const codes = await workers(${port}, terminated);
        codes.forEach((code, w) => {
          if (code !== (terminated.includes(w) ? 1 : 0)) throw new Error('worker ' + w + ' ended with ' + code);
        });
      }
      console.log('alive', Object.keys(require.cache).length);
    })();
  `;
  const result = await run(code, { preamble: false });
  ended(result, 'alive 0\n');
});

test('a worker thread terminated right after it began to load', async (t) => {
  const { port } = await startRedis(t);
  const result = await run(
    `
    const { Worker } = require('node:worker_threads');
    (async () => {
      for (let i = 0; i < 40; i++) {
        const worker = new Worker(${JSON.stringify(WORKER)}, { eval: true, workerData: { port: ${port}, name: 'w', endless: true } });
        worker.on('error', (err) => { throw err; });
        await new Promise((resolve) => worker.once('online', resolve));
        for (let turns = 0; turns < i * 4; turns++) await new Promise((resolve) => setImmediate(resolve));
        await worker.terminate();
      }
      console.log('alive');
    })();
  `,
    { preamble: false }
  );
  ended(result, 'alive\n');
});

test('import of the module and of its names', async () => {
  const url = JSON.stringify(pathToFileURL(path.join(root, 'index.js')));
  const code = `
    import session, { RedisStore, MemoryStore, Session, SessionError, Store, Event, addClass } from ${url};
    const names = { RedisStore, MemoryStore, Session, SessionError, Store, Event, addClass };
    for (const [name, value] of Object.entries(names)) if (session[name] !== value) throw new Error(name);
    const again = await import(${url});
    console.log(typeof session, again.default === session, again.RedisStore === RedisStore);
  `;
  ended(await run(code, { module: 'module', preamble: false }), 'function true true\n');
});

test('by its name, from within: the package and the redis factory', async () => {
  const own = `
    const { RedisStore } = require('drachtio-session');
    console.log(require('drachtio-session/redis')() === RedisStore);
  `;
  ended(await run(own, { preamble: false }), 'true\n');
  const code = `
    import { RedisStore } from 'drachtio-session';
    import redis from 'drachtio-session/redis';
    console.log(redis() === RedisStore);
  `;
  ended(await run(code, { module: 'module', preamble: false }), 'true\n');
});
