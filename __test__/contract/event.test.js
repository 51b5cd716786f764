'use strict';
// Event: something that happened to a target within a session.

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const { onEachStore } = require('../support/contract/bench');
const { Event, Session } = require('../..');

const session = (store) => new Session({ store }).set('a');
const refused = (...args) => assert.throws(() => new Event(...args), { code: 'ERR_SESSION_ARGUMENT' });

onEachStore((test) => {
  test('new Event({target, mks, ...anything}) has these as its own properties', ({ first: store }) => {
    const mks = session(store);
    const target = { name: 'endpoint' };
    const event = new Event({ target, mks, reason: 'hangup', digits: [1, 2] });
    assert.equal(event.target, target);
    assert.equal(event.mks, mks);
    assert.deepEqual([event.reason, event.digits], ['hangup', [1, 2]]);
    assert.deepEqual(Object.keys(event).toSorted(), ['digits', 'mks', 'reason', 'target']);
  });

  test('the older new Event(target, mks, reason)', ({ first: store }) => {
    const mks = session(store);
    const target = new EventEmitter();
    const event = new Event(target, mks, 'hangup');
    assert.equal(event.target, target);
    assert.equal(event.mks, mks);
    assert.equal(event.reason, 'hangup');
    assert.equal('reason' in new Event(target, mks), false);
  });

  test('it throws without a target, or without mks being a Session', ({ first: store }) => {
    const mks = session(store);
    refused();
    refused({});
    refused({ mks });
    refused({ target: {} });
    refused({ target: {}, mks: { session: {} } });
    refused(undefined, mks, 'hangup');
    refused({}, { session: {} }, 'hangup');
  });

  test('session reads and writes mks.session, and a save stores it', async (bench) => {
    const mks = session(bench.first);
    const event = new Event({ target: {}, mks });
    event.session.x = 1;
    assert.equal(event.session, mks.session);
    event.session = { y: 2 };
    assert.deepEqual({ ...mks.session }, { y: 2 });
    await event.session.save();
    assert.deepEqual(await bench.stored('a'), { y: 2 });
  });

  test('emit(app, name, cb) emits itself, then calls back; it gives what app.emit gave', ({ first: store }) => {
    const app = new EventEmitter();
    const event = new Event({ target: {}, mks: session(store) });
    const order = [];
    assert.equal(
      event.emit(app, 'hangup', () => order.push('nobody')),
      false
    );
    app.on('hangup', (...args) => order.push(args));
    assert.equal(
      event.emit(app, 'hangup', () => order.push('callback')),
      true
    );
    assert.deepEqual(order, ['nobody', [event], 'callback']);
    assert.equal(order[1][0], event);
    assert.equal(event.emit(app, 'hangup'), true, 'without a callback');
    const odd = { emit: (name, given) => [name, given] };
    assert.deepEqual(event.emit(odd, 'name'), ['name', event]);
  });

  test('the event of a request: its handler changes the data of the call', async (bench) => {
    const { app } = bench;
    let event;
    app.invite((req, res) => {
      event = new Event({ target: { leg: 'A' }, mks: req.mks });
      res.send(200);
    });
    app.on('dtmf', (given) => (given.session.digit = '4'));
    const call = app.peer.invite({ callId: 'a' });
    await call.final();
    event.emit(app, 'dtmf');
    await event.session.save();
    assert.deepEqual(await bench.stored('a'), { digit: '4' });
  });
});
