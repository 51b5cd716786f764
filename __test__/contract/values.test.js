'use strict';
// What a session can hold: JSON, and instances of registered classes at any depth.

const assert = require('node:assert/strict');
const session = require('../..');
const { onEachStore } = require('../support/contract/bench');

class Money {
  constructor({ amount, currency }) {
    Object.assign(this, { amount, currency });
  }

  toString() {
    return `${this.amount} ${this.currency}`;
  }
}
class Tariff {
  constructor({ name, price, since }) {
    Object.assign(this, { name, price, since });
  }
}
class Unregistered {
  constructor() {
    this.x = 1;
  }
}
[Money, Tariff].forEach(session.addClass);

// What another process finds of data that a handler has put into the session of a call.
const roundTrip = async (bench, fill) => {
  bench.app.invite((req, res) => {
    fill(req.session);
    res.send(200);
  });
  await bench.app.peer.invite({ callId: 'data' }).final();
  return (await bench.find('data')).session;
};

const hangup = () => 'bye';

onEachStore((test) => {
  test('anything that JSON holds', async (bench) => {
    const data = {
      text: 'jack jones',
      empty: '',
      number: -1.5e-7,
      big: 9007199254740991,
      yes: true,
      no: false,
      nothing: null,
      list: [1, 'two', [3], {}, null],
      deep: { a: { b: { c: { d: [] } } } },
      emoji: '\u{1f4de} \u00e9\u00df\u4e2d',
      quotes: '"\\/\b\f\n\r\t\u0000\u2028',
      '': 'a name may be empty',
      'na"me\\': 1
    };
    assert.deepEqual({ ...(await roundTrip(bench, (given) => Object.assign(given, data))) }, data);
  });

  test('Date, at any depth', async (bench) => {
    const when = new Date('2014-06-01T12:00:00.123Z');
    const found = await roundTrip(bench, (data) => {
      Object.assign(data, { when, deep: { list: [{ when }] }, never: new Date(NaN) });
    });
    for (const date of [found.when, found.deep.list[0].when]) {
      assert.ok(date instanceof Date);
      assert.equal(date.getTime(), when.getTime());
    }
    assert.ok(Number.isNaN(found.never.getTime()));
  });

  test('instances of registered classes, at any depth and within each other', async (bench) => {
    const found = await roundTrip(bench, (data) => {
      const price = new Money({ amount: 7, currency: 'EUR' });
      data.price = price;
      data.plans = [{ tariff: new Tariff({ name: 'night', price, since: new Date(0) }) }];
    });
    assert.ok(found.price instanceof Money);
    assert.equal(String(found.price), '7 EUR');
    const { tariff } = found.plans[0];
    assert.ok(tariff instanceof Tariff);
    assert.ok(tariff.price instanceof Money);
    assert.ok(tariff.since instanceof Date);
    assert.deepEqual([tariff.name, tariff.price.amount, tariff.since.getTime()], ['night', 7, 0]);
  });

  test('a loaded instance that changes is saved, and one that does not is not a change', async (bench) => {
    const { app } = bench;
    app.invite((req, res) => {
      req.session.price = new Money({ amount: 7, currency: 'EUR' });
      req.session.since = new Date(0);
      res.send(200);
    });
    const dirty = [];
    app.info((req, res) => {
      assert.ok(req.session.price instanceof Money);
      dirty.push(req.mks.isDirty());
      if (req.body) req.session.price.amount = Number(req.body);
      dirty.push(req.mks.isDirty());
      res.send(200);
    });
    const call = app.peer.invite({ callId: 'data' });
    await call.final();
    await call.request('INFO');
    await call.request('INFO', { body: '8' });
    assert.deepEqual(dirty, [false, false, false, true]);
    assert.equal(String((await bench.find('data')).session.price), '8 EUR');
  });

  test('a class that is not registered comes back as a plain object', async (bench) => {
    const { thing } = await roundTrip(bench, (data) => (data.thing = new Unregistered()));
    assert.equal(Object.getPrototypeOf(thing), Object.prototype);
    assert.deepEqual(thing, { x: 1 });
  });

  test('data that looks like what we write for a class stays what it is', async (bench) => {
    const data = { a: { '@class': 'Date', value: 0 }, b: [{ '@@class': 'Money' }], '@class': 'Money', value: 1 };
    assert.deepEqual({ ...(await roundTrip(bench, (given) => Object.assign(given, data))) }, data);
  });

  test('functions are left out, and are still there for the handler', async (bench) => {
    const found = await roundTrip(bench, (data) => {
      Object.assign(data, { hangup, deep: { hangup, x: 1 }, list: [hangup, 2], nothing: undefined });
    });
    assert.deepEqual({ ...found }, { deep: { x: 1 }, list: [null, 2] });
  });

  test('saving never changes the live objects', async (bench) => {
    const { app } = bench;
    const price = new Money({ amount: 7, currency: 'EUR' });
    const since = new Date(0);
    const deep = Object.freeze({ list: Object.freeze([price, since]), hangup });
    let after;
    app.invite(async (req, res) => {
      Object.assign(req.session, { price, since, deep, hangup });
      await req.session.save();
      after = { ...req.session };
      res.send(200);
    });
    await app.peer.invite().final();
    assert.equal(after.price, price);
    assert.equal(after.since, since);
    assert.equal(after.deep, deep);
    assert.equal(after.hangup, hangup);
    assert.deepEqual(Object.keys(price), ['amount', 'currency']);
    assert.deepEqual([price.amount, since.getTime()], [7, 0]);
    assert.equal(Object.hasOwn(price, 'toJSON'), false);
    assert.equal(
      JSON.stringify({ price, since }),
      '{"price":{"amount":7,"currency":"EUR"},"since":"1970-01-01T00:00:00.000Z"}'
    );
  });

  test('data that JSON can not hold: an error that names the place, and the response leaves', async (bench) => {
    const { app } = bench;
    const failures = [];
    app.invite(async (req, res) => {
      req.session.user = { name: 'jack jones' };
      req.session.user.self = req.session.user;
      await req.session.save().catch((err) => failures.push(err));
      res.send(200);
    });
    const call = app.peer.invite();
    assert.equal((await call.final()).statusCode, 200);
    assert.deepEqual([failures.length, failures[0].code], [1, 'ERR_SESSION_DATA']);
    assert.match(failures[0].message, /user\.self/);
    assert.deepEqual(
      bench.expected().map(({ code }) => code),
      ['ERR_SESSION_DATA']
    );
    app.bye((req, res) => res.send(200));
    await call.bye();
    await bench.assertEmpty();
  });
});
