'use strict';
// Data as text and back: dates, registered classes, data that looks like our tags, what is left alone.

const assert = require('node:assert/strict');
const test = require('node:test');
const session = require('../..');
const { Snapshot } = require('../../lib/session/snapshot');
const { run } = require('../support/process');
const { connect, load, openStore, save, startRedis, stored } = require('../support/sessions');

const { MemoryStore, Session, addClass } = session;

class Point {
  constructor({ x, y }) {
    this.x = x;
    this.y = y;
  }
  sum() {
    return this.x + this.y;
  }
}
class Money {
  constructor(text) {
    this.text = text;
  }
  toJSON() {
    return this.text;
  }
}
class Special extends Point {}
class Shape {
  constructor(data) {
    Object.assign(this, data);
  }
  toJSON() {
    return { corners: this.corners };
  }
}
[Point, Money, Shape].forEach(addClass);

const field = (lines, name) => lines[lines.indexOf(name) + 1];

async function round(data) {
  const store = new MemoryStore();
  await save(store, 'call', data);
  return stored(store, 'call');
}

for (const kind of ['memory', 'redis']) {
  test(`dates and instances come back at any depth and in arrays (${kind})`, async (t) => {
    const store = await openStore(t, kind);
    const point = () => new Point({ x: 1, y: 2 });
    const data = {
      at: new Date(1234567890123),
      point: point(),
      list: [new Date(0), [point(), null, { inner: [point()] }]],
      deep: { a: { b: { c: { d: [new Date(-1), new Money('5 EUR')] } } } },
      nested: new Shape({ corners: [point(), new Date(5)] }),
      holder: new Point({ x: new Date(7), y: point() })
    };
    await save(store, 'call', data);
    const got = await stored(store, 'call');
    assert.deepEqual(got, data);
    assert.ok(got.point instanceof Point && got.point.sum() === 3);
    assert.ok(got.list[1][2].inner[0] instanceof Point);
    assert.ok(got.nested instanceof Shape && got.nested.corners[0] instanceof Point);
    assert.ok(got.deep.a.b.c.d[1] instanceof Money);
    await store.set('value', data);
    assert.deepEqual(await store.get('value'), data);
    await store.set('date', new Date(3));
    assert.deepEqual(await store.get('date'), new Date(3));
  });
}

test('an invalid Date stays one', async () => {
  const { at } = await round({ at: new Date(NaN) });
  assert.ok(at instanceof Date && Number.isNaN(at.getTime()));
});

test('a session that was only read is not written again, whatever is in it', async () => {
  const store = new MemoryStore();
  const data = { at: new Date(0), p: new Point({ x: 1, y: 2 }), m: new Money('x'), '@class': 'y', 7: 1 };
  await save(store, 'call', { ...data, bad: new Date(NaN) });
  const mks = await load(store, 'call');
  const { bad, ...rest } = mks.session;
  assert.ok(Number.isNaN(bad.getTime()));
  assert.deepEqual(rest, data);
  assert.equal(mks.isDirty(), false);
  mks.session.p.x = 5;
  assert.equal(mks.isDirty(), true);
});

test('an instance of a subclass that is not registered is written as plain data', async () => {
  class Later extends Date {}
  class Cheap extends Money {}
  const got = await round({ s: new Special({ x: 1, y: 2 }), d: new Later(0), c: new Cheap('1') });
  assert.deepEqual(got, { s: { x: 1, y: 2 }, d: '1970-01-01T00:00:00.000Z', c: '1' });
  assert.equal(Object.getPrototypeOf(got.s), Object.prototype);
});

test('a subclass that is registered comes back as itself', async () => {
  class Base extends Shape {
    toJSON() {
      return { ...this };
    }
  }
  class Derived extends Base {}
  [Base, Derived].forEach(addClass);
  const got = await round({ base: new Base({ a: 1 }), derived: new Derived({ a: 2 }) });
  assert.equal(got.base.constructor, Base);
  assert.equal(got.derived.constructor, Derived);
  assert.deepEqual([got.base.a, got.derived.a], [1, 2]);
});

test('Session.resolvers.push registers, Session.addResolvers and the option resolvers too', async () => {
  class Pushed extends Shape {}
  class Added extends Shape {}
  class Given extends Shape {}
  Session.resolvers.push(Pushed);
  Session.addResolvers([Added]);
  session({ store: new MemoryStore(), resolvers: [Given] });
  for (const Class of [Pushed, Added, Given]) {
    const { it } = await round({ it: new Class({ corners: 3 }) });
    assert.ok(it instanceof Class, Class.name);
    assert.equal(it.corners, 3);
  }
  assert.ok(Session.resolvers.includes(Date));
});

test('what cannot be registered is refused', () => {
  for (const wrong of [undefined, null, 5, {}, () => undefined, 'Date']) {
    assert.throws(() => addClass(wrong), { code: 'ERR_SESSION_ARGUMENT' });
  }
});

const LOOK_ALIKES = [
  { '@class': 'Date', value: 1 },
  { '@class': 'Point', value: { x: 1, y: 2 } },
  { '@class': 'Nobody', value: 1 },
  { '@class': 1, value: 1 },
  { '@class': 'Date' },
  { '@class': 'Date', value: 1, more: 1 },
  { '@@class': 'Date', value: 1 },
  { '@@@class': 1, '@class': 2, '@@class': 3 },
  { '@class': { '@class': 'Date', value: { '@@class': 1 } }, value: new Date(0) },
  { text: '{"@class":"Date","value":1}', '{"@class":"Date"': ',"@class":' },
  { 'my@class': 1, '@classes': 2, class: 3 }
];
test('data that looks like our tags comes back as it was', async () => {
  for (const data of LOOK_ALIKES) {
    assert.deepEqual(await round({ data }), { data });
    assert.deepEqual(await round({ list: [data, new Date(0), data] }), { list: [data, new Date(0), data] });
    assert.deepEqual(await round(data), data, 'as the session itself');
    assert.deepEqual(await round({ p: new Point({ x: data, y: new Date(1) }) }), {
      p: new Point({ x: data, y: new Date(1) })
    });
  }
});

test('data of a class that the loading process does not know goes through it unharmed', async (t) => {
  const server = await startRedis(t);
  const store = connect(t, { host: server.host, port: server.port });
  const hash = async () => (await server.cli('HGETALL', 'sess:mks:call')).split('\n');
  const values = {
    point: new Point({ x: 1, y: new Date(0) }),
    money: new Money('12 EUR'),
    shape: new Shape({ corners: [1] })
  };
  class Row extends Shape {
    toJSON() {
      return this.list;
    }
  }
  class Count extends Shape {
    toJSON() {
      return 5;
    }
  }
  [Row, Count].forEach(addClass);
  values.row = Object.assign(new Row(), { list: [1, 2] });
  values.count = new Count();
  await save(store, 'call', { ...values, list: [values.point, values.money], stranger: false });
  const before = await hash();
  const stranger = await run(`
    const store = new session.RedisStore({ host: '127.0.0.1', port: ${server.port} });
    session.Session.loadFromStorage({ store }, 'call', async (err, mks) => {
      if (err) throw err;
      JSON.stringify(mks.session);
      console.log(mks.isDirty());
      mks.session.stranger = true;
      mks.session.point.x;
      await mks.save();
      await store.close();
    });
  `);
  assert.deepEqual([stranger.err, stranger.code], ['', 0]);
  const after = await hash();
  for (const name of ['point', 'shape', 'row', 'money', 'count', 'list']) {
    assert.equal(field(after, `.${name}`), field(before, `.${name}`), name);
  }
  assert.equal(field(after, '.stranger'), 'true');
  assert.equal(stranger.out, 'false\n', 'reading it changes nothing');
});

test('a constructor that throws on stored data is an error of that load, and of nothing else', async (t) => {
  const { port } = await startRedis(t);
  const redis = `new session.RedisStore({ host: '127.0.0.1', port: ${port} })`;
  const script = `
    class Picky {
      constructor(data) {
        if (data.used) throw new Error('not twice');
        this.used = true;
      }
    }
    session.addClass(Picky);
    process.on('uncaughtException', (err) => console.log('uncaught', err.code));
    (async () => {
      await store.set('n', new Picky({}));
      const mks = new session.Session({ store });
      mks.set('call');
      mks.session.it = new Picky({});
      await mks.save();
      const found = await session.Session.loadFromStorage({ store }, 'call');
      try { found.session; console.log('read'); } catch (err) { console.log('session', err.code); }
      store.get('n', (err) => console.log('callback', err && err.code));
      store.get('n').catch((err) => console.log('promise', err.code));
      store.all().catch((err) => console.log('all', err.code));
    })();
  `;
  const code = 'ERR_SESSION_DATA';
  const expected = [`all ${code}`, `callback ${code}`, `promise ${code}`, `session ${code}`];
  for (const store of ['new session.MemoryStore()', redis]) {
    const { out } = await run(`const store = ${store};\n${script}`);
    assert.deepEqual(out.trim().split('\n').toSorted(), expected, store);
  }
});

test('functions and undefined are left out', async () => {
  const data = {
    f() {},
    u: undefined,
    s: Symbol('s'),
    [Symbol('k')]: 1,
    inner: { f() {}, a: 1 },
    list: [() => 1, undefined]
  };
  assert.deepEqual(await round(data), { inner: { a: 1 }, list: [null, null] });
});

test('saving never changes the live objects', async () => {
  const store = new MemoryStore();
  const at = new Date(0);
  const point = new Point({ x: 1, y: at });
  const frozen = Object.freeze({ at, '@class': 'x', value: Object.freeze([point]) });
  const mks = await save(store, 'call', { at, point, frozen, f: () => 5 });
  assert.ok(mks.session.at === at && mks.session.point === point && mks.session.frozen === frozen);
  assert.equal(mks.session.f(), 5);
  assert.deepEqual(Reflect.ownKeys(point), ['x', 'y']);
  assert.deepEqual(Reflect.ownKeys(at), []);
  assert.deepEqual(Reflect.ownKeys(frozen), ['at', '@class', 'value']);
  assert.deepEqual(Object.keys(Point.prototype), []);
});

test('JSON.stringify outside of a save knows nothing of us', async () => {
  const resting = Date.prototype.toJSON;
  const before = Object.getOwnPropertyDescriptor(Date.prototype, 'toJSON');
  await round({ at: new Date(0), p: new Point({ x: 1, y: 2 }) });
  await assert.rejects(round({ at: new Date(0), n: 1n }), { code: 'ERR_SESSION_DATA' });
  assert.equal(Date.prototype.toJSON, resting);
  assert.deepEqual(Object.getOwnPropertyDescriptor(Date.prototype, 'toJSON'), before);
  assert.equal(JSON.stringify(new Date(0)), '"1970-01-01T00:00:00.000Z"');
  assert.equal(JSON.stringify(new Point({ x: 1, y: 2 })), '{"x":1,"y":2}');
  assert.equal(JSON.stringify(new Money('5')), '"5"');
});

// In processes of their own: what goes wrong here would go wrong for every test that follows.
test('a toJSON that an application sets later stays', async () => {
  const ended = await run(`
    class Late { constructor(data) { Object.assign(this, data); } }
    session.addClass(Late);
    const store = new session.MemoryStore();
    (async () => {
      await store.set('n', new Late({ a: 1 }));
      Late.prototype.toJSON = function () { return { a: 5 }; };
      await store.set('n', new Late({ a: 1 }));
      console.log(JSON.stringify(new Late({ a: 1 })), (await store.get('n')).a);
    })();
  `);
  assert.equal(ended.out, '{"a":5} 5\n', ended.err);
});

test('a class with a frozen prototype is refused or works, and other classes go on as before', async () => {
  const ended = await run(`
    class Ice { constructor(data) { this.data = data; } toJSON() { return this.data; } }
    Object.freeze(Ice.prototype);
    try { session.addClass(Ice); } catch (err) { if (err.code !== 'ERR_SESSION_ARGUMENT') throw err; }
    const store = new session.MemoryStore();
    (async () => {
      await store.set('n', new Date(0)).catch((err) => console.log('refused', err.message));
      console.log(JSON.stringify(new Date(0)), (await store.get('n')) instanceof Date);
    })();
  `);
  assert.equal(ended.out, '"1970-01-01T00:00:00.000Z" true\n', ended.err);
});

test('a save within a save, from a toJSON of the application, harms neither', async () => {
  const ended = await run(`
    const store = new session.MemoryStore();
    (async () => {
      const outer = { first: new Date(1), hook: { toJSON() { store.set('inner', { at: new Date(2) }); return 'x'; } }, last: new Date(3) };
      await store.set('outer', outer);
      const { first, last } = await store.get('outer');
      console.log(first instanceof Date, last instanceof Date, (await store.get('inner')).at instanceof Date);
    })();
  `);
  assert.equal(ended.out, 'true true true\n', ended.err);
});

test('data is the same with its properties in another order, and with no other change', () => {
  const snapshot = Snapshot.of({ a: 1, b: { c: [1, 'x'], d: null } });
  assert.ok(snapshot.isOf({ a: 1, b: { c: [1, 'x'], d: null } }));
  assert.ok(snapshot.isOf({ b: { d: null, c: [1, 'x'] }, a: 1 }));
  const others = [
    { a: 1 },
    { a: 1, b: { c: [1, 'x'], d: null }, e: undefined },
    { a: 1, e: { c: [1, 'x'], d: null } },
    { a: 1, b: { c: [1, 'x'] } },
    { a: 1, b: { c: [1, 'x', 2], d: null } },
    { a: 1, b: { c: { 0: 1, 1: 'x' }, d: null } },
    { a: 1, b: [] },
    { a: 1, b: new Map([['c', 1]]) }
  ];
  for (const other of others) assert.ok(!snapshot.isOf(other), JSON.stringify(other));
});
