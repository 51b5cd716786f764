'use strict';
// Names and values that are meant to do harm, or happen to: each comes back as it was, or is a clear error.

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const { message } = require('../support/message');
const { load, openStore, save, stored } = require('../support/sessions');
const { within } = require('../support/waiting');

const { Session } = session;

const NAMES = [
  '__proto__', 'constructor', 'toString', 'valueOf', 'hasOwnProperty', '__defineGetter__', 'mks', 'save', 'session', '',
  ' ', '\ud800', '\udfff', 'a\ud800b', '"', '\\', '\\"', "'", '\\u0041', '\n', '\u2028', '\u0000', 'a\u0000b', '😀', 'é',
  '.x', '@x', '@mks:call', '->', 'uuid', 'keys', 'ttl', 'version', '0', '1', '01', '-1', '1e3', '4294967295', '1.5',
  'toJSON', 'length', 'then', '@class', '@@class', 'value', 'x'.repeat(70000)
]; // prettier-ignore

const VALUES = {
  empty: '', zero: '\u0000', lone: '\ud800', loneLow: 'a\udfffb', emoji: '😀'.repeat(100), quotes: '"\\"\'', nulls: 'a\u0000b',
  separators: '\u2028\u2029\r\n', big: Number.MAX_VALUE, small: 5e-324, negative: -1, falsy: [0, '', false, null],
  emptyList: [], emptyMap: {}, proto: JSON.parse('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
  lua: "'); redis.call('FLUSHALL') --", resp: '\r\n$5\r\nhello\r\n', command: '*1\r\n$8\r\nFLUSHALL\r\n'
}; // prettier-ignore

// An object with own properties whatever their names are.
const own = (entries) => Object.fromEntries(entries);
const unpolluted = () => {
  assert.equal({}.polluted, undefined);
  assert.equal(Object.prototype.polluted, undefined);
};
// resolves when the handler would be called
const reaches = (use, { req, res }) =>
  new Promise((resolve) => {
    use(req, res, resolve);
  });
const ownEntries = (mks) => Object.entries(mks.session);
const sorted = (entries) => entries.toSorted(([a], [b]) => (a < b ? -1 : 1));

for (const kind of ['memory', 'redis']) {
  const on = (name, fn) => test(`${name} (${kind})`, async (t) => fn(await openStore(t, kind)));

  on('every name of a property', async (store) => {
    const data = own(NAMES.map((name, i) => [name, { i, polluted: 1 }]));
    const mks = await save(store, 'call', data);
    const expected = sorted(Object.entries(data));
    assert.equal(expected.length, NAMES.length);
    assert.deepEqual(sorted(ownEntries(mks)), expected);
    const found = await load(store, 'call');
    assert.deepEqual(sorted(ownEntries(found)), expected);
    unpolluted();
    assert.ok(found.session instanceof Session.SessionProto);
    for (const name of NAMES) found.session[name] = name.length;
    await found.save();
    const changed = await load(store, 'call');
    assert.deepEqual(sorted(ownEntries(changed)), sorted(NAMES.map((name) => [name, name.length])));
    NAMES.forEach((name) => delete changed.session[name]);
    changed.session.rest = 1;
    await changed.save();
    assert.deepEqual(await stored(store, 'call'), { rest: 1 });
  });

  on('every name of a property, alone, deep down and in instances', async (store) => {
    for (const name of NAMES) {
      const data = own([[name, own([[name, [own([[name, new Date(1)]])]]])]]);
      await save(store, 'call', data);
      const found = await load(store, 'call');
      assert.deepEqual(ownEntries(found), Object.entries(data), JSON.stringify(name.slice(0, 20)));
      await found.destroy();
    }
    unpolluted();
  });

  on('every value', async (store) => {
    await save(store, 'call', VALUES);
    assert.deepEqual(await stored(store, 'call'), VALUES);
    assert.ok(Object.hasOwn((await stored(store, 'call')).proto, '__proto__'));
    for (const [name, value] of Object.entries(VALUES)) {
      await store.set(name, value);
      assert.deepEqual(await store.get(name), value);
    }
    unpolluted();
  });

  on('every name of a value', async (store) => {
    const names = NAMES.filter((name) => name !== '' && name.isWellFormed());
    // two of these would be one name in UTF-8
    await assert.rejects(store.set('\ud800', 1), { code: 'ERR_SESSION_ARGUMENT' });
    await Promise.all(names.map((name, i) => store.set(name, { i })));
    for (const [i, name] of names.entries()) {
      assert.deepEqual(await store.get(name), { i }, JSON.stringify(name.slice(0, 20)));
    }
    assert.equal(await store.length(), names.length);
  });

  on('text of 5 MB, 20,000 properties, 1,000 levels', async (store) => {
    const big = '😀x'.repeat(1024 * 1024);
    await save(store, 'big', { big, small: 1 });
    assert.ok((await stored(store, 'big')).big === big);
    const many = Object.fromEntries(Array.from({ length: 20000 }, (_, i) => [`p${i}`, i]));
    const mks = await save(store, 'many', many);
    assert.deepEqual(await stored(store, 'many'), many);
    for (let i = 0; i < 20000; i += 2) delete mks.session[`p${i}`];
    await mks.save();
    assert.equal(Object.keys(await stored(store, 'many')).length, 10000);
    let deep = { bottom: new Date(0) };
    for (let i = 0; i < 1000; i++) deep = i % 2 ? [deep] : { deep };
    await save(store, 'deep', { deep });
    assert.equal(JSON.stringify((await stored(store, 'deep')).deep), JSON.stringify(deep));
  });

  const ring = { name: 'ring' };
  ring.list = [{ back: ring }];
  const REFUSED = [
    ['a circle', { a: { ring } }, /session\.a\.ring\.list\[0\]\.back refers back to session\.a\.ring/],
    ['a BigInt', { a: [{ n: 5n }] }, /session\.a\[0\]\.n is a BigInt/],
    ['a getter that throws', { a: { get g() { throw new Error('mine'); } } }, /session\.a\.g .*mine/],
    ['a toJSON that throws', { a: [{ toJSON() { throw new Error('mine'); } }] }, /session\.a\[0\].*mine/],
    ['a getter that throws nothing', { a: { get g() { throw null; } } }, /session\.a\.g/] // eslint-disable-line no-throw-literal -- what is thrown need not be an Error
  ]; // prettier-ignore
  for (const [what, data, pattern] of REFUSED) {
    on(`${what} is an error with the path, and the final response leaves`, async (store) => {
      const use = session({ store });
      const errors = [];
      store.on('error', (err) => errors.push(err));
      const { req, res, left } = message('INVITE', 'call');
      use(req, res, () => {
        req.session.good = 1;
        Object.defineProperties(req.session, Object.getOwnPropertyDescriptors(data));
        res.send(200, 'OK', { body: 'sdp' });
      });
      assert.deepEqual(await within(left, 'the final response'), [200, 'OK', { body: 'sdp' }]);
      assert.deepEqual(errors.map(({ code }) => code), ['ERR_SESSION_DATA']); // prettier-ignore
      assert.match(errors[0].message, pattern);
      await assert.rejects(req.session.save(), { code: 'ERR_SESSION_DATA', message: pattern });
      assert.throws(() => req.mks.isDirty(), { code: 'ERR_SESSION_DATA' });
      await assert.rejects(store.set('n', data), { code: 'ERR_SESSION_DATA' });
      assert.equal(await load(store, 'call'), null);
      delete req.session.a;
      await req.session.save();
      assert.deepEqual(await stored(store, 'call'), { good: 1 });
      // the dialog ends all the same, whatever is in the session
      const bye = message('BYE', 'call', true);
      await within(reaches(use, bye), 'the handler of BYE');
      Object.defineProperties(bye.req.session, Object.getOwnPropertyDescriptors(data));
      bye.res.send(200);
      assert.deepEqual(await within(bye.left, 'the response to BYE'), [200]);
      assert.equal(await store.length(), 0);
    });
  }

  test(`a ttl function that throws holds no final response up (${kind})`, async (t) => {
    let failing = false;
    const ttl = () => {
      if (failing) throw new Error('mine');
      return 100;
    };
    const store = await openStore(t, kind, { ttl });
    store.on('error', () => undefined);
    const use = session({ store });
    for (const method of ['INFO', 'BYE']) {
      failing = false;
      await save(store, 'call', { n: 1 });
      const { req, res, left } = message(method, 'call', true);
      await within(reaches(use, { req, res }), 'the handler');
      failing = true;
      req.session.n = 2;
      res.send(200);
      assert.deepEqual(await within(left, `the response to ${method}`), [200]);
    }
    assert.equal(await store.length(), 0);
  });

  on('every Call-ID', async (store) => {
    const ids = [
      'two words', 'a{b}c', '{tag}x', '}', '{}', '#', 'a#mks:session:1', '*', '?', '[a]', '\\', '"', '%s', 'a\u0000b', 'é😀',
      '__proto__', 'constructor', 'mks:', 'mks:session:', 'session:x', '->', 'x'.repeat(65536), '\r\nFLUSHALL\r\n', ' '
    ]; // prettier-ignore
    const use = session({ store });
    for (const [n, id] of ids.entries()) {
      const { req, res, left } = message('INVITE', id);
      use(req, res, () => {
        req.session.n = n;
        res.send(200);
      });
      await within(left, 'the final response');
    }
    assert.equal(await store.length(), ids.length);
    for (const [n, id] of ids.entries()) {
      const found = await load(store, id);
      assert.deepEqual({ ...found.session }, { n }, JSON.stringify(id.slice(0, 20)));
      found.set(`${id}/second leg`);
      await found.save();
    }
    for (const [n, id] of ids.entries()) {
      assert.deepEqual(await stored(store, `${id}/second leg`), { n });
      const { req, res, left } = message('BYE', id, true);
      await reaches(use, { req, res });
      res.send(200);
      await within(left, 'the response to BYE');
      assert.equal(await load(store, id), null);
      await (await load(store, `${id}/second leg`)).destroy();
    }
    assert.equal(await store.length(), 0);
  });
}
