'use strict';
// RedisStore: where it connects to, what it says of that, and what becomes of operations when the server goes.

const assert = require('node:assert/strict');
const path = require('node:path');
const test = require('node:test');
const { setImmediate } = require('node:timers/promises');
const session = require('../..');
const { scaled } = require('../support/machine');
const { run } = require('../support/process');
const { called, connect, save, startRedis, stored } = require('../support/sessions');
const { until, within } = require('../support/waiting');
const { freePort } = require('../support/redis');

const { RedisStore, Session, SessionError } = session;

// The events of a store, in their order.
function listen(store) {
  const heard = [];
  for (const name of ['connect', 'disconnect', 'error']) {
    store.on(name, (err) => heard.push({ name, err }));
  }
  return heard;
}
const names = (heard) => heard.map(({ name }) => name);
const heardOf = (heard, name) => until(() => heard.some((event) => event.name === name), name);

async function clients(server) {
  const lines = (await server.cli('CLIENT', 'LIST')).split('\n');
  return lines.filter((line) => !line.includes('cmd=client|list'));
}

// Stores a value by the options and finds it by redis-cli.
async function works(t, server, options, ...cli) {
  const store = connect(t, options);
  await store.set('n', { a: 1 });
  assert.deepEqual(await store.get('n'), { a: 1 });
  assert.equal(await server.cli(...cli, 'GET', 'sess:n'), '{"a":1}', JSON.stringify(options));
  await store.clear();
  return store;
}

test('by host and port, by port alone, by url', async (t) => {
  const server = await startRedis(t);
  const { host, port } = server;
  await works(t, server, { host, port });
  await works(t, server, { host, port: String(port) });
  await works(t, server, { port });
  await works(t, server, { url: `redis://${host}:${port}` });
  await works(t, server, { url: `redis://${host}:${port}/3` }, '-n', '3');
  await works(t, server, { url: `redis://${host}:${port}/3`, db: 4 }, '-n', '4');
  await works(t, server, { host, port, db: 5 }, '-n', '5');
});

test('by the path of a socket', async (t) => {
  const server = await startRedis(t);
  const socket = path.join(server.folder, 'redis.sock');
  const other = await startRedis(t, '--unixsocket', socket);
  await works(t, other, { socket });
  await works(t, other, { socket, db: 2 }, '-n', '2');
  assert.equal(await server.size(), 0);
});

test('with a password, and as a user of an ACL', async (t) => {
  const server = await startRedis(t, '--requirepass', 'sec ret');
  const { host, port } = server;
  const auth = ['--no-auth-warning', '-a', 'sec ret'];
  await works(t, server, { host, port, pass: 'sec ret' }, ...auth);
  await works(t, server, { host, port, password: 'sec ret' }, ...auth);
  await works(t, server, { url: `redis://:sec%20ret@${host}:${port}` }, ...auth);
  assert.equal(await server.cli(...auth, 'ACL', 'SETUSER', 'jack', 'on', '>p@ss', '~*', '&*', '+@all'), 'OK');
  await works(t, server, { host, port, username: 'jack', password: 'p@ss' }, ...auth);
  await works(t, server, { url: `redis://jack:p%40ss@${host}:${port}` }, ...auth);
  const list = await server.cli(...auth, 'CLIENT', 'LIST');
  assert.match(list, /user=jack/);
});

test('a user who may not do what is needed is told so', async (t) => {
  const server = await startRedis(t);
  await server.cli('ACL', 'SETUSER', 'reader', 'on', '>x', '~sess:*', '&*', '+@read', '+@connection');
  const store = connect(t, { host: server.host, port: server.port, username: 'reader', password: 'x' });
  assert.equal(await store.get('n'), null);
  await assert.rejects(store.set('n', 1), { code: 'ERR_SESSION_STORE_AUTH', message: /NOPERM/ });
});

test('name and poolSize show in CLIENT LIST', async (t) => {
  const server = await startRedis(t);
  const { host, port } = server;
  for (const poolSize of [1, 2, 5]) {
    const store = new RedisStore({ host, port, poolSize, name: `phones-${poolSize}` });
    const heard = listen(store);
    await heardOf(heard, 'connect');
    const ours = (await clients(server)).filter((line) => line.includes(`name=phones-${poolSize} `));
    assert.equal(ours.length, poolSize);
    await store.close();
  }
  await until(async () => (await clients(server)).every((line) => !line.includes('phones')), 'the connections to go');
});

test('wrong options are errors that name the option', async () => {
  const circular = {};
  circular.self = circular;
  const wrong = [
    [{ port: 0 }, 'port'], [{ port: 65536 }, 'port'], [{ port: 'x' }, 'port'], [{ port: NaN }, 'port'],
    [{ port: 1.5 }, 'port'], [{ host: '' }, 'host'], [{ host: 5 }, 'host'], [{ url: 5 }, 'url'],
    [{ url: 'http://x' }, 'url'], [{ url: 'redis://x', host: 'y' }, 'url'], [{ socket: '', port: 1 }, 'socket'],
    [{ socket: '/x', port: 1 }, 'socket'], [{ db: -1 }, 'db'], [{ db: 'x' }, 'db'], [{ db: 0.5 }, 'db'],
    [{ pass: 'a', password: 'b' }, 'pass'], [{ pass: 5 }, 'pass'], [{ username: '' }, 'username'],
    [{ prefix: 5 }, 'prefix'], [{ prefix: () => 'x' }, 'prefix'], [{ ttl: 0 }, 'ttl'], [{ ttl: -5 }, 'ttl'],
    [{ ttl: 'soon' }, 'ttl'], [{ ttl: NaN }, 'ttl'], [{ ttl: Infinity }, 'ttl'], [{ poolSize: 0 }, 'poolSize'],
    [{ poolSize: 65 }, 'poolSize'], [{ connectTimeout: 0 }, 'connectTimeout'], [{ connectTimeout: '5s' }, 'connectTimeout'],
    [{ commandTimeout: -1 }, 'commandTimeout'], [{ name: '' }, 'name'], [{ name: 'two words' }, 'name'],
    [{ hots: 'x' }, 'hots'], [{ client: {} }, 'client'], [{ client: circular }, 'client'], [{ db: 1n }, 'db'],
    [{ retry_strategy: () => 1 }, 'retry_strategy'], [{ url: 'redis://x/many' }, 'url']
  ]; // prettier-ignore
  const missed = [];
  for (const [options, name] of wrong) {
    let store;
    try {
      store = new RedisStore(options);
      missed.push([options, name, 'accepted']);
    } catch (err) {
      const says = err.code === 'ERR_SESSION_OPTION' && err.message.includes(`\`${name}\``);
      if (!says) missed.push([options, name, err.message]);
    }
    if (!store) continue;
    const heard = listen(store);
    await until(() => heard.length > 0, 'an event');
    await store.close();
  }
  assert.deepEqual(missed, []);
});

test('wrong options of the middleware are errors that name the option', () => {
  const wrong = [
    [{ stor: {} }, 'stor'], [{ resolvers: {} }, 'resolvers'], [{ resolvers: [5] }, 'class'], [{ timeout: 0 }, 'timeout'],
    [{ timeout: 'x' }, 'timeout'], [{ timeout: 1.5 }, 'timeout'], [{ store: null }, 'store'], [{ store: 5 }, 'store'],
    [{ store: {} }, 'get'], [{ store: 'redis' }, 'store'], [{ resolvers: null }, 'resolvers']
  ]; // prettier-ignore
  const missed = wrong.filter(([options, name]) => {
    try {
      session(options);
      return true;
    } catch (err) {
      const known = ['ERR_SESSION_OPTION', 'ERR_SESSION_ARGUMENT'].includes(err.code);
      return !(err instanceof SessionError && known && err.message.includes(name));
    }
  });
  assert.deepEqual(missed, []);
  assert.throws(() => session(null), { code: 'ERR_SESSION_OPTION' });
});

test('connect comes once, and operations asked for before it succeed', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port });
  const heard = listen(store);
  const values = Array.from({ length: 1000 }, (_, i) => i);
  const sets = values.map((i) => store.set(`n${i}`, i));
  const got = values.map((i) => store.get(`n${i}`));
  assert.deepEqual(heard, []);
  await Promise.all(sets);
  assert.deepEqual(await Promise.all(got), values);
  await heardOf(heard, 'connect');
  await store.length();
  assert.deepEqual(names(heard), ['connect']);
});

// What a store with these options says, as event and to a get() that waits.
async function failure(t, options) {
  const store = connect(t, options);
  const heard = listen(store);
  const [err, value] = await called(store, 'get', 'n');
  assert.equal(value, undefined);
  await heardOf(heard, 'error');
  // several attempts later it has still been said once
  const again = await store.get('n').catch((thrown) => thrown);
  assert.equal(again.code, err.code);
  await until(() => store.get('n').then(() => false, () => true), 'the next error'); // prettier-ignore
  assert.deepEqual(names(heard), ['error']);
  assert.equal(heard[0].err.code, err.code);
  assert.equal(heard[0].err.message, err.message);
  assert.ok(heard[0].err instanceof SessionError);
  return err;
}

test('a wrong password, and none where one is needed', async (t) => {
  const { host, port } = await startRedis(t, '--requirepass', 'secret');
  for (const options of [{ password: 'wrong' }, { pass: 'wrong' }, { username: 'jack', password: 'secret' }, {}]) {
    const err = await failure(t, { host, port, ...options });
    assert.equal(err.code, 'ERR_SESSION_STORE_AUTH', `${err}`);
    assert.match(err.message, /password/);
    assert.ok(err.message.includes(`${host}:${port}`) && !err.message.includes('secret'), err.message);
  }
});

test('a database that is not there', async (t) => {
  const { host, port } = await startRedis(t);
  const err = await failure(t, { host, port, db: 99 });
  assert.equal(err.code, 'ERR_SESSION_OPTION');
  assert.match(err.message, /`db`/);
  assert.match(err.message, /99/);
});

test('a port without a listener, a host that does not exist, a socket that is not there', async (t) => {
  const port = await freePort();
  for (const [options, place] of [
    [{ host: '127.0.0.1', port }, `127.0.0.1:${port}`],
    [{ host: 'no-such-host.invalid', port }, 'no-such-host.invalid'],
    [{ socket: '/nowhere/redis.sock' }, '/nowhere/redis.sock'],
    [{ url: `redis://127.0.0.1:${port}` }, `127.0.0.1:${port}`]
  ]) {
    const err = await failure(t, options);
    assert.equal(err.code, 'ERR_SESSION_STORE_UNAVAILABLE', `${err}`);
    assert.ok(err.message.includes(place), err.message);
  }
});

test('a server that is killed and started again: each change is told once, and it works again', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port });
  const heard = listen(store);
  await store.set('n', 1);
  await heardOf(heard, 'connect');
  for (let round = 1; round <= 3; round++) {
    heard.length = 0;
    await server.kill();
    await heardOf(heard, 'error');
    const err = await store.get('n').catch((thrown) => thrown);
    assert.equal(err.code, 'ERR_SESSION_STORE_UNAVAILABLE', `${err}`);
    assert.deepEqual(names(heard), ['disconnect', 'error'], heard.map((event) => event.err?.message).join('\n'));
    assert.equal(heard[0].err.code, 'ERR_SESSION_STORE_UNAVAILABLE');
    await server.run();
    await heardOf(heard, 'connect');
    assert.deepEqual(names(heard), ['disconnect', 'error', 'connect']);
    await store.set('n', round);
    assert.equal(await store.get('n'), round);
    await save(store, `call-${round}`, { round });
    assert.deepEqual(await stored(store, `call-${round}`), { round });
  }
});

test('a connection that the server ends is made anew, and nothing that may be repeated fails', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port });
  const heard = listen(store);
  await save(store, 'call', { a: 1 });
  await heardOf(heard, 'connect');
  for (let round = 0; round < 5; round++) {
    heard.length = 0;
    await server.cli('CLIENT', 'KILL', 'TYPE', 'normal');
    const loads = Array.from({ length: 50 }, () => stored(store, 'call'));
    for (const data of await Promise.all(loads)) assert.deepEqual(data, { a: 1 });
    await until(() => names(heard).at(-1) === 'connect', 'connect');
    // one connection may be back before the other one is found lost
    names(heard).forEach((name, i) => assert.equal(name, i % 2 ? 'connect' : 'disconnect'));
  }
});

test('what was answered while JavaScript was busy is not late', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port, commandTimeout: 200 });
  const heard = listen(store);
  await store.set('n', 1);
  for (let round = 0; round < 5; round++) {
    const answers = Array.from({ length: 10 }, () => store.get('n'));
    // handed over, and then JavaScript is busy for longer than a command may take
    await setImmediate();
    const busy = performance.now() + 300;
    while (performance.now() < busy);
    assert.deepEqual(new Set(await Promise.all(answers)), new Set([1]));
  }
  assert.ok(!names(heard).includes('disconnect'), names(heard).join());
  assert.equal(store.stats().connections.made, 1);
});

test('a value that no socket has room for, among others', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port, poolSize: 1, commandTimeout: 20000 });
  const big = 'x'.repeat(32 << 20);
  const others = Array.from({ length: 20 }, (_, i) => store.set(`n-${i}`, i));
  const written = store.set('big', big);
  await setImmediate();
  const after = Array.from({ length: 20 }, (_, i) => store.get(`n-${i}`));
  await Promise.all([...others, written]);
  assert.deepEqual(
    await Promise.all(after),
    Array.from({ length: 20 }, (_, i) => i)
  );
  assert.equal(await store.get('big'), big);
});

test('killed with 1,000 saves in flight: every callback comes once, and says what is known', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port });
  const sessions = await Promise.all(Array.from({ length: 1000 }, (_, i) => save(store, `call-${i}`, { n: 0 })));
  for (const pause of [true, false]) {
    const calls = sessions.map(() => 0);
    const codes = new Map();
    // a server that is stopped takes commands and answers none: all of them are on their way when it dies
    if (pause) server.process.kill('SIGSTOP');
    const ended = Promise.all(
      sessions.map((mks, i) => {
        mks.session.n++;
        return new Promise((resolve) => {
          mks.save((err) => {
            calls[i]++;
            const code = err ? err.code : 'saved';
            codes.set(code, (codes.get(code) || 0) + 1);
            resolve();
          });
        });
      })
    );
    await setImmediate();
    await server.kill();
    await within(ended, 'the callbacks');
    if (pause) assert.equal(codes.get('saved'), undefined);
    codes.delete('saved');
    codes.delete('ERR_SESSION_STORE_UNAVAILABLE');
    // those that were on their way may get no answer before the deadline
    codes.delete('ERR_SESSION_TIMEOUT');
    assert.deepEqual([...codes], [], 'nothing was closed, gone or corrupt');
    // a pending write is an error where the server has lost everything
    const connected = new Promise((resolve) => {
      store.once('connect', resolve);
    });
    await Promise.all([within(connected, 'the connections to be back'), server.run()]);
    assert.deepEqual(calls.filter((count) => count !== 1), []); // prettier-ignore
    const fresh = await Promise.all(sessions.map((_, i) => save(store, `call-${i}`, { n: 0 })));
    sessions.splice(0, sessions.length, ...fresh);
  }
});

test('an in-doubt save is written again', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port, poolSize: 1, commandTimeout: 500 });
  session({ store, timeout: 10000 }); // the connection gives up, not the engine
  const ids = Array.from({ length: 600 }, (_, i) => `call-${i}`);
  const sessions = await Promise.all(ids.map((id) => save(store, id, { state: 'old' })));
  const [old] = (await clients(server))[0].match(/^id=\d+/);
  // Stopped, it has the commands and answers none; afterwards it executes them, but its replies are lost.
  server.process.kill('SIGSTOP');
  sessions.forEach((mks) => (mks.session.state = 'new'));
  const saves = sessions.map((mks) => mks.save().then(() => 'saved', ({ code }) => code)); // prettier-ignore
  const codes = await within(Promise.all(saves), 'the saves to fail');
  server.process.kill('SIGCONT');
  // the old connection is closed when the server has executed of it what it ever will
  await until(async () => !(await server.cli('CLIENT', 'LIST')).includes(`${old} `), 'the old connection to go');
  await until(() => store.get('n').then(() => true, () => false), 'the store to work again'); // prettier-ignore
  sessions.forEach((mks) => (mks.session.state = 'old'));
  await Promise.all(sessions.map((mks) => mks.save()));
  const found = await Promise.all(ids.map((id) => stored(store, id)));
  const lost = found.filter(({ state }) => state !== 'old').length;
  assert.equal(lost, 0, `${lost} sessions are not as they were last saved`);
  assert.deepEqual([...new Set(codes)], ['ERR_SESSION_TIMEOUT']);
});

test('close ends what was asked for, then refuses everything', async (t) => {
  const server = await startRedis(t);
  for (const end of ['close', 'quit']) {
    const store = new RedisStore({ host: server.host, port: server.port });
    const sets = Array.from({ length: 100 }, (_, i) => store.set(`${end}-${i}`, i));
    const mks = new Session({ store });
    mks.set(`${end}-call`);
    const saved = mks.save();
    assert.deepEqual(await called(store, end), [null, undefined]);
    await Promise.all([...sets, saved]);
    const closed = { code: 'ERR_SESSION_STORE_CLOSED' };
    for (const [method, ...args] of [
      ['get', 'a'],
      ['set', 'a', 1],
      ['ids'],
      ['clear'],
      ['touch', 'a'],
      ['destroy', 'a']
    ]) {
      await assert.rejects(store[method](...args), closed, method);
    }
    mks.session.a = 1;
    await assert.rejects(mks.save(), closed);
    assert.equal(await store[end](), undefined, 'closing twice is no error');
  }
  assert.equal(await server.size(), 202);
  await until(async () => (await clients(server)).length === 0, 'the connections to go');
});

test('close ends a connection that was made and is not used yet', async (t) => {
  const server = await startRedis(t);
  const store = new RedisStore({ host: server.host, port: server.port });
  // connected by another thread meanwhile
  const busy = performance.now() + scaled(200);
  while (performance.now() < busy);
  await store.close();
  await until(async () => (await clients(server)).length === 0, 'the connection to go');
});

test('close before the connection is up, and where there is no listener', async (t) => {
  const server = await startRedis(t);
  for (const port of [server.port, await freePort()]) {
    const ended = await run(`
      const store = new session.RedisStore({ host: '127.0.0.1', port: ${port} });
      store.on('error', () => undefined);
      store.close((err) => store.get('a', ({ code }) => console.log(err, code)));
    `);
    assert.equal(ended.out, 'null ERR_SESSION_STORE_CLOSED\n', ended.err);
    assert.deepEqual([ended.code, ended.stuck], [0, false], 'the process ends');
  }
});
