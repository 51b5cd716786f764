'use strict';
// The proxy of the fault tests does to a connection what it says; and Redis can be killed, stopped and started again.

const assert = require('node:assert/strict');
const net = require('node:net');
const test = require('node:test');
const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const { Proxy } = require('../support/network/proxy');
const { ask } = require('../support/redis');
const { startRedis } = require('../support/sessions');
const { until, within } = require('../support/waiting');

// A server that sends back what it gets, behind a proxy, and a connection through it.
async function echo(t) {
  const server = net.createServer((socket) => socket.on('error', () => undefined).pipe(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const proxy = await Proxy.start({ host: '127.0.0.1', port: server.address().port });
  t.after(() => proxy.stop());
  return { proxy, client: await connect(proxy) };
}

async function connect(proxy) {
  const socket = net.connect(proxy.port, proxy.host);
  const client = { socket, text: '', ends: [] };
  socket.setEncoding('latin1').on('data', (text) => (client.text += text));
  socket.on('end', () => client.ends.push('end')).on('error', (err) => client.ends.push(err.code));
  await once(socket, 'connect');
  client.gets = (text) => until(() => client.text === text, `${text}, not ${client.text}`);
  return client;
}

test('it passes on what it gets, both ways and at the end', async (t) => {
  const { proxy, client } = await echo(t);
  const long = 'x'.repeat(3_000_000);
  client.socket.write(long);
  await until(() => client.text.length === long.length, 'all of it');
  assert.deepEqual(proxy.passed, { toServer: long.length, toClient: long.length });
  client.socket.end();
  await until(() => client.ends.length > 0, 'the end');
  assert.deepEqual(client.ends, ['end']);
  await until(() => proxy.pairs.size === 0, 'the connection to be forgotten');
});

test('FIN and RST at any byte, in either direction', async (t) => {
  for (const direction of ['toServer', 'toClient']) {
    for (const action of ['cut', 'reset']) {
      for (const bytes of [0, 1, 4]) {
        const { proxy, client } = await echo(t);
        const reached = proxy.after(bytes, direction, action);
        client.socket.write('hello');
        await within(reached, `byte ${bytes} ${direction}`);
        await until(() => client.ends.length > 0, 'the end');
        // Node sends a FIN before the RST: which of them is seen first is the kernel's
        const [seen] = client.ends;
        assert.ok(seen === 'end' || (action === 'reset' && seen === 'ECONNRESET'), `${action} ${direction}: ${seen}`);
        assert.ok('hello'.slice(0, bytes).startsWith(client.text), client.text);
        assert.equal(proxy.passed[direction], bytes);
      }
    }
  }
});

test('bytes are changed and put in at their place, once', async (t) => {
  const { proxy, client } = await echo(t);
  proxy.after(2, 'toClient', { corrupt: 2 });
  proxy.after(7, 'toServer', { insert: '!!' });
  client.socket.write('hello');
  await client.gets('he99o');
  client.socket.write('hello');
  await client.gets('he99ohe!!llo');
});

test('what is swallowed is lost, and the connection with it; what is stalled comes later', async (t) => {
  const { proxy, client } = await echo(t);
  proxy.stall('toClient');
  client.socket.write('one');
  await until(() => proxy.passed.toServer === 3, 'the way there');
  await proxy.mend();
  await client.gets('one');
  proxy.hang('toServer');
  client.socket.write('two');
  await until(() => [...proxy.pairs][0].maimed, 'it to be swallowed');
  await proxy.mend();
  await until(() => client.ends.length > 0, 'the end');
  assert.deepEqual([client.text, client.ends], ['one', ['ECONNRESET']]);
});

test('delays and throttles', async (t) => {
  const { proxy, client } = await echo(t);
  proxy.delay(60, 'toServer');
  const begun = Date.now();
  for (let i = 0; i < 5; i++) client.socket.write('a');
  await client.gets('aaaaa');
  assert.ok(Date.now() - begun >= 60);
  await proxy.mend();
  proxy.throttle(1000, 'toClient');
  client.socket.write('b'.repeat(50));
  await until(() => client.text.length > 5, 'the first of it');
  assert.ok(client.text.length < 55, 'not all at once');
  await client.gets(`aaaaa${'b'.repeat(50)}`);
});

test('the proxy refuses connections, and accepts them again at the same port', async (t) => {
  const { proxy, client } = await echo(t);
  await proxy.refuse();
  const [refused] = await once(net.connect(proxy.port, proxy.host), 'error');
  assert.equal(refused.code, 'ECONNREFUSED');
  client.socket.write('still here');
  await client.gets('still here');
  await proxy.mend();
  await connect(proxy);
});

test('commands are answered in place of the server', async (t) => {
  const redis = await startRedis(t);
  const proxy = await Proxy.start(redis);
  t.after(() => proxy.stop());
  const client = await connect(proxy);
  proxy.answerWith(([verb]) => (verb === 'GET' ? '-LOADING not yet\r\n' : undefined));
  client.socket.write('*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPI');
  await client.gets('-LOADING not yet\r\n');
  client.socket.write('NG\r\n');
  await client.gets('-LOADING not yet\r\n+PONG\r\n');
});

test('Redis is killed, stopped and started again, with its data and without', async (t) => {
  const kept = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always');
  const lost = await startRedis(t);
  for (const redis of [kept, lost]) {
    await redis.raw('SET a 1');
    const { port } = redis;
    await redis.restart();
    assert.equal(redis.port, port);
  }
  assert.deepEqual([await kept.size(), await lost.size()], [1, 0]);
  kept.pause();
  const answer = ask(kept.port, 'GET a');
  const early = await Promise.race([answer, sleep(100, 'nothing')]);
  kept.resume();
  assert.deepEqual([early, await answer], ['nothing', '$1\r\n1\r\n']);
});
