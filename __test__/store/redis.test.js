'use strict';
// RedisStore: what is stored and how, values and sessions by name, records of others, several processes.

const assert = require('node:assert/strict');
const net = require('node:net');
const test = require('node:test');
const { once } = require('node:events');
const session = require('../..');
const { run } = require('../support/process');
const { called, connect, load, save, startRedis, stored } = require('../support/sessions');
const { VALUES } = require('../support/values');
const { until } = require('../support/waiting');

const { RedisStore, Session, SessionError } = session;

async function open(t, options = {}) {
  const server = await startRedis(t);
  return { server, store: connect(t, { host: server.host, port: server.port, ...options }) };
}

// What HGETALL gives, as an object.
async function hash(server, key) {
  const lines = (await server.cli('HGETALL', key)).split('\n');
  return Object.fromEntries(lines.flatMap((line, i) => (i % 2 ? [] : [[line, lines[i + 1]]])));
}

const fresh = (ms) => ms > 90000 && ms <= 100000;
const placeOf = (id) => `p:mks:${id}`;
const corrupt = (name) => ({ code: 'ERR_SESSION_CORRUPT', message: new RegExp(name) });
// What the server executes while `work` runs, a line a command.
async function monitored(server, work) {
  const socket = net.connect(server.port, server.host);
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk) => (text += chunk));
  try {
    await once(socket, 'connect');
    socket.write('MONITOR\r\n');
    await until(() => text.startsWith('+OK'), 'MONITOR');
    await work();
    await server.raw('ECHO end-of-work');
    await until(() => text.includes('"end-of-work"'), 'the end in MONITOR');
  } finally {
    socket.destroy();
  }
  const lines = text.split('\r\n').slice(1);
  // what a script executes is shown as well, with "lua" for the client
  return lines.filter((line) => line && !/^\S+ \[\d+ lua\]/.test(line) && !line.includes('end-of-work'));
}

test('every kind of value comes back, by promise and by callback', async (t) => {
  const { store } = await open(t);
  for (const [name, value] of Object.entries(VALUES)) {
    assert.equal(await store.set(name, value), undefined);
    assert.deepEqual(await store.get(name), value);
    assert.deepEqual(await called(store, 'set', `cb:${name}`, value), [null, undefined]);
    assert.deepEqual(await called(store, 'get', `cb:${name}`), [null, value]);
  }
  assert.equal(await store.get('missing'), null);
  assert.deepEqual(await called(store, 'get', 'missing'), [null, null]);
});

test('destroy, ids, all, length and clear, by promise and by callback', async (t) => {
  const { store } = await open(t);
  for (const ask of [(...args) => called(store, ...args), async (m, ...args) => [null, await store[m](...args)]]) {
    assert.deepEqual(await ask('ids'), [null, []]);
    assert.deepEqual(await ask('all'), [null, []]);
    assert.deepEqual(await ask('length'), [null, 0]);
    for (const name of ['a', 'b', 'c']) await store.set(name, { name });
    assert.deepEqual(await ask('destroy', 'b'), [null, undefined]);
    assert.deepEqual(await ask('destroy', 'missing'), [null, undefined]);
    const [, ids] = await ask('ids');
    const [, all] = await ask('all');
    assert.deepEqual(ids.toSorted(), ['a', 'c']);
    assert.deepEqual(all.map(({ name }) => name).toSorted(), ['a', 'c']);
    assert.deepEqual(await ask('length'), [null, 2]);
    assert.deepEqual(await ask('clear'), [null, undefined]);
    assert.deepEqual(await ask('length'), [null, 0]);
    assert.equal(await store.get('a'), null);
  }
});

test('a session is one entry, under any of its keys', async (t) => {
  const { server, store } = await open(t);
  const mks = await save(store, 'leg-a', { user: 'jack' });
  mks.set('leg-b', { leg: 2 });
  await mks.save();
  const envelope = { keys: { 'mks:leg-a': null, 'mks:leg-b': { leg: 2 } }, session: { user: 'jack' } };
  assert.equal(await store.length(), 1);
  assert.deepEqual(await store.get('mks:leg-a'), envelope);
  assert.deepEqual(await store.get('mks:leg-b'), envelope);
  assert.deepEqual(await store.all(), [envelope]);
  assert.deepEqual(await store.ids(), ['mks:leg-a']);
  await store.destroy('mks:leg-b');
  assert.equal(await server.size(), 0);
});

test('the stored layout can be read by a person', async (t) => {
  const { server, store } = await open(t, { prefix: 'p:' });
  const mks = await save(store, 'leg-a', { user: 'jack', at: new Date(0), 'a "b"': [1], ' ': null });
  mks.set('leg-b', { leg: 2 });
  await mks.save();
  const { ttl, by, ...fields } = await hash(server, 'p:mks:leg-a');
  assert.match(by, /^[0-9a-f]{12} 1$/);
  assert.match(ttl, /^86400000@\d{13}$/);
  assert.deepEqual(fields, {
    uuid: mks.uuid.replace(/^mks:session:/, ''),
    [`~${by.split(' ')[0]}`]: '2',
    version: '2',
    keys: '2',
    '@mks:leg-a': '',
    '@mks:leg-b': '{"leg":2}',
    '.user': '"jack"',
    '.at': '{"@class":"Date","value":"1970-01-01T00:00:00.000Z"}',
    '.a \\"b\\"': '[1]',
    '. ': 'null'
  });
  assert.deepEqual(await hash(server, 'p:mks:leg-b'), { '->': 'p:mks:leg-a' });
  assert.equal(await server.size(), 2);
});

test('a first save stores the same, whatever it finds at the places of its keys', async (t) => {
  const { server, store } = await open(t, { prefix: 'p:' });
  const other = connect(t, { host: server.host, port: server.port, prefix: 'p:' });
  const finds = {
    nothing: () => {},
    tombstone: (home) => server.cli('HSET', placeOf(home), 'gone', 'another'),
    first: (home) => save(other, home, { theirs: 1 }),
    second: (_, leg) => save(other, leg, { theirs: 1 }),
    both: (home, leg) => Promise.all([save(other, home, { theirs: 1 }), save(other, leg, { theirs: 1 })]),
    elsewhere: async (_, leg) => {
      const theirs = await save(other, 'theirs', {});
      await theirs.set(leg).save();
    },
    many: () => {}
  };
  for (const [what, make] of Object.entries(finds)) {
    const [home, leg] = [`${what}-a`, `${what}-b`];
    await make(home, leg);
    const data = what === 'many' ? Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`n${i}`, i])) : { n: 1 };
    const mks = new Session({ store });
    mks.set(home).set(leg, { leg: 2 });
    mks.session = data;
    await mks.save();
    const { by, ttl, gone, ...fields } = await hash(server, placeOf(home));
    assert.match(ttl, /^86400000@\d{13}$/, what);
    assert.equal(gone !== undefined, ['tombstone', 'first', 'both'].includes(what), what);
    const [writer, number] = by.split(' ');
    assert.deepEqual(
      fields,
      {
        uuid: mks.uuid.replace(/^mks:session:/, ''),
        [`~${writer}`]: number,
        version: '1',
        keys: '2',
        [`@mks:${home}`]: '',
        [`@mks:${leg}`]: '{"leg":2}',
        ...Object.fromEntries(Object.entries(data).map(([name, value]) => [`.${name}`, String(value)]))
      },
      what
    );
    assert.equal((await hash(server, placeOf(leg)))['->'], placeOf(home), what);
    for (const id of [home, leg]) assert.ok(Number(await server.cli('PTTL', placeOf(id))) > 86000000, `${what} ${id}`);
    assert.deepEqual(await stored(other, leg), data, what);
  }
  assert.deepEqual((await load(other, 'theirs')).keys, ['mks:theirs']);
});

test('the time to live is set with every save, on every key, and by touch', async (t) => {
  const { server, store } = await open(t, { ttl: 100, prefix: '' });
  const left = async (key) => Number(await server.cli('PTTL', key));
  const mks = await save(store, 'a', { x: 1 });
  mks.set('b');
  await mks.save();
  await store.set('value', 1);
  const keys = ['mks:a', 'mks:b', 'value'];
  for (const key of keys) assert.ok(fresh(await left(key)), `${key}: ${await left(key)}`);
  for (const key of keys) await server.cli('PEXPIRE', key, 5000);
  mks.session.x = 2;
  await mks.save();
  await store.touch('value');
  for (const key of keys) assert.ok(fresh(await left(key)), `${key}: ${await left(key)}`);
});

test('touch by any key keeps the session and all of its keys', async (t) => {
  const { server, store } = await open(t, { ttl: 100, prefix: '' });
  const mks = await save(store, 'a', { x: 1 });
  mks.set('b');
  await mks.save();
  const places = ['mks:a', 'mks:b'];
  for (const touched of places) {
    for (const place of places) await server.cli('PEXPIRE', place, 5000);
    await store.touch(touched);
    for (const place of places) {
      const left = Number(await server.cli('PTTL', place));
      assert.ok(left > 90000, `${left} ms are left of ${place} after a touch of ${touched}`);
    }
  }
});

test('touch without the data leaves a time to live that is a function of the data', async (t) => {
  const { server, store } = await open(t, { ttl: (data) => data.seconds, prefix: '' });
  await store.set('value', { seconds: 10 });
  await store.touch('value');
  const left = Number(await server.cli('PTTL', 'value'));
  assert.ok(left > 0 && left <= 10000, `${left} ms`);
});

test('ttl may be a function of the data', async (t) => {
  const { server, store } = await open(t, { ttl: (data) => (data.short ? 10 : 1000), prefix: '' });
  const seconds = async (key) => Math.ceil(Number(await server.cli('PTTL', key)) / 1000);
  await store.set('value', { short: true });
  const mks = await save(store, 'call', { short: true });
  assert.deepEqual([await seconds('value'), await seconds('mks:call')], [10, 10]);
  mks.session.short = false;
  await mks.save();
  await store.touch('value', { short: false });
  assert.deepEqual([await seconds('value'), await seconds('mks:call')], [1000, 1000]);
});

test('what has expired is gone, and a save does not bring it back', async (t) => {
  const { server, store } = await open(t, { ttl: 0.05 });
  await store.set('value', 1);
  const mks = await save(store, 'call', { a: 1 });
  await until(async () => (await server.size()) === 0, 'the entries to expire');
  assert.equal(await store.get('value'), null);
  mks.session.a = 2;
  await assert.rejects(mks.save(), { code: 'ERR_SESSION_GONE' });
  assert.equal(await load(store, 'call'), null);
  assert.equal(await server.size(), 0);
});

test('a prefix is no pattern: clear leaves the keys of others', async (t) => {
  const { server, store } = await open(t, { prefix: 'a*[b]?\\' });
  const others = ['aXb?\\n', 'aab\\x', 'a*bX\\n', 'a*[b]?', 'x', 'a*[b]X\\n'];
  for (const key of others) await server.cli('SET', key, '1');
  await store.set('n', 1);
  await save(store, 'call', { a: 1 });
  assert.equal(await server.cli('GET', 'a*[b]?\\n'), '1');
  assert.deepEqual((await store.ids()).toSorted(), ['mks:call', 'n']);
  assert.equal((await store.all()).length, 2);
  assert.equal(await store.length(), 2);
  await store.clear();
  assert.equal(await store.length(), 0);
  assert.deepEqual((await server.cli('KEYS', '*')).split('\n').toSorted(), others.toSorted());
});

test('more keys than a batch has', async (t) => {
  const { server, store } = await open(t);
  const names = Array.from({ length: 6001 }, (_, i) => `n${i}`);
  await Promise.all(names.map((name) => store.set(name, { name })));
  await save(store, 'call', { name: 'call' });
  assert.equal(await store.length(), 6002);
  assert.deepEqual((await store.ids()).toSorted(), [...names, 'mks:call'].toSorted());
  const all = await store.all();
  assert.deepEqual(all.map(({ name }) => name || 'call').toSorted(), [...names, 'call'].toSorted());
  await store.clear();
  assert.equal(await server.size(), 0);
});

test('a save is one command and has only what changed', async (t) => {
  const { server, store } = await open(t);
  const data = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`p${i}`, `value ${i}`]));
  const mks = await save(store, 'call', data);
  const commands = await monitored(server, async () => {
    mks.session.p7 = 'seven';
    mks.session.added = { x: 1 };
    delete mks.session.p9;
    await mks.save();
  });
  assert.equal(commands.length, 1, commands.join('\n'));
  const named = commands[0].match(/"\.[^"]*"/g);
  assert.deepEqual(named.toSorted(), ['".added"', '".p7"', '".p9"']);
  assert.ok(commands[0].includes('"\\"seven\\""') && commands[0].includes('{\\"x\\":1}'), commands[0]);
  assert.ok(!commands[0].includes('value '), commands[0]);
  const { p9: _p9, ...rest } = data;
  assert.deepEqual(await stored(store, 'call'), { ...rest, p7: 'seven', added: { x: 1 } });
});

test('a load is one command, two by the key of another leg; a removal is one', async (t) => {
  const { server, store } = await open(t, { cache: false });
  const mks = await save(store, 'a', { x: 1 });
  mks.set('b');
  await mks.save();
  assert.equal((await monitored(server, () => load(store, 'a'))).length, 1);
  assert.equal((await monitored(server, () => load(store, 'b'))).length, 2);
  assert.equal((await monitored(server, () => load(store, 'none'))).length, 1);
  // the first removal brings its script along
  await (await save(store, 'other', { x: 1 })).del('other');
  assert.equal((await monitored(server, () => mks.del('b'))).length, 1);
  assert.equal((await monitored(server, () => mks.del('a'))).length, 1);
  assert.equal(await server.size(), 0);
});

test('a loaded session that was only read is not dirty, in whatever order its properties come', async (t) => {
  const { store } = await open(t);
  // a long value makes Redis keep the hash in an order of its own
  const data = { b: 'x'.repeat(500), 10: 1, a: 2, 2: 3, '': 4, 1: 5, c: 6, 7: 7, d: 8, 5: 9 };
  await save(store, 'call', data);
  const mks = await load(store, 'call');
  assert.deepEqual({ ...mks.session }, data);
  assert.equal(mks.isDirty(), false);
});

test('a record of others under our key is an error of that session only, and names the key', async (t) => {
  const { server, store } = await open(t, { prefix: 'p:' });
  const make = (id) => save(store, id, { a: 1 });
  for (const id of ['field', 'half', 'good', 'version', 'added']) await make(id);
  await server.cli('SET', placeOf('string'), 'not ours');
  await server.cli('RPUSH', placeOf('list'), 'x');
  await server.cli('HSET', placeOf('property'), '.a', '1');
  await server.cli('HSET', placeOf('hash'), 'name', 'value');
  await server.cli('HSET', placeOf('field'), '.a', '{bad');
  await server.cli('HSET', placeOf('half'), '.a', '');
  await server.cli('HSET', placeOf('version'), 'version', 'many');
  await server.cli('HSET', placeOf('added'), '.a', '1,"b":2');
  const failures = {};
  for (const id of ['string', 'list', 'property', 'hash', 'field', 'half', 'version', 'added']) {
    const err = await load(store, id).then(
      () => null,
      (thrown) => thrown
    );
    if (!(err instanceof SessionError) || err.code !== 'ERR_SESSION_CORRUPT' || !err.message.includes(`mks:${id}`)) {
      failures[id] = String(err);
    }
  }
  assert.deepEqual(failures, {});
  assert.deepEqual(await stored(store, 'good'), { a: 1 });
  await make('another');
});

test('get of a record of others is an error, all leaves it out, a new session does not mix with it', async (t) => {
  const { server, store } = await open(t, { prefix: '' });
  await server.cli('SET', 'string', 'not json');
  await server.cli('RPUSH', 'list', 'x');
  await server.cli('HSET', 'mks:hash', 'name', 'value');
  await store.set('ours', { a: 1 });
  await assert.rejects(store.get('string'), corrupt('string'));
  await assert.rejects(store.get('list'), corrupt('list'));
  assert.deepEqual(await store.all(), [{ a: 1 }]);
  await assert.rejects(save(store, 'hash', { a: 1 }), corrupt('mks:hash'));
  assert.deepEqual(await hash(server, 'mks:hash'), { name: 'value' });
  await server.cli('RPUSH', 'mks:call', 'x');
  await assert.rejects(save(store, 'call', { a: 1 }), corrupt('mks:call'));
  assert.equal(await server.cli('TYPE', 'mks:call'), 'list');
});

test('a server that has just started knows the scripts before they are needed', async (t) => {
  const { server, store } = await open(t);
  await once(store, 'connect');
  const lines = await monitored(server, async () => {
    const mks = await save(store, 'call', { a: 1 });
    await mks.del('call');
    await (await save(store, 'call', { a: 1 })).destroy();
  });
  const scripts = lines.map((line) => /"(EVAL\w*)"/.exec(line)?.[1]).filter(Boolean);
  assert.deepEqual(
    scripts,
    Array.from({ length: 4 }, () => 'EVALSHA')
  );
});

test('SCRIPT FLUSH between saves loses nothing', async (t) => {
  const { server, store } = await open(t);
  const mks = await save(store, 'call', { count: 0 });
  for (let count = 1; count <= 20; count++) {
    assert.equal(await server.cli('SCRIPT', 'FLUSH'), 'OK');
    mks.session.count = count;
    await mks.save();
    assert.deepEqual(await stored(store, 'call'), { count });
  }
  mks.set('other');
  await mks.save();
  await server.cli('SCRIPT', 'FLUSH');
  await mks.del('other');
  await server.cli('SCRIPT', 'FLUSH');
  await mks.destroy();
  assert.equal(await server.size(), 0);
});

test('two processes that write different properties of one session at the same time lose none', async (t) => {
  const { server, store } = await open(t);
  await save(store, 'call', { begun: true });
  const writer = (name) =>
    run(`
      const store = new session.RedisStore({ host: '127.0.0.1', port: ${server.port} });
      (async () => {
        const mks = await session.Session.loadFromStorage({ store }, 'call');
        for (let i = 1; i <= 300; i++) {
          mks.session['${name}' + (i % 30)] = i;
          mks.session.${name} = i;
          await mks.save();
        }
        await store.close();
        console.log('written');
      })();
    `);
  const [a, b] = await Promise.all([writer('a'), writer('b')]);
  assert.deepEqual([a.out, a.err, b.out, b.err], ['written\n', '', 'written\n', '']);
  const expected = { begun: true };
  for (const name of ['a', 'b']) {
    expected[name] = 300;
    for (let i = 271; i <= 300; i++) expected[name + (i % 30)] = i;
  }
  assert.deepEqual(await stored(store, 'call'), expected);
});

test('redis.js gives the class', () => {
  assert.equal(require('../../redis')(), RedisStore);
  assert.equal(require('../../redis')({ anything: session }), RedisStore);
});
