'use strict';
// What each step of a call asks of Redis without the near cache: one round trip.

const assert = require('node:assert/strict');
const b2bua = require('../../examples/b2bua');
const session = require('../..');
const { onEachStore, turn } = require('../support/contract/bench');
const { Monitor } = require('../support/network/monitor');

// A host with a call's handlers, a monitor, and scripts that the server knows already.
const prepared = (body) => async (bench) => {
  const { app } = bench;
  app.invite((req, res) => {
    if (req.get('x-refuse')) return res.send(486);
    Object.assign(req.session, { user: 'jack jones', at: new Date(), digits: '' });
    return res.send(200);
  });
  app.ack(() => undefined);
  app.info((req, res) => {
    req.session.digits += req.body;
    res.send(200);
  });
  app.update((req, res) => res.send(200));
  app.options((req, res) => res.send(200));
  app.bye((req, res) => res.send(200));
  const first = app.peer.invite();
  await first.final();
  await first.bye();
  const monitor = await Monitor.start(bench.redis);
  try {
    await body(bench, monitor, () => monitor.verbs());
  } finally {
    monitor.stop();
  }
};

onEachStore(
  (test) => {
    test(
      'a plain call: INVITE and 200 one script, ACK one load, BYE a load and one script',
      prepared(async ({ app, redis }, monitor, verbs) => {
        const call = app.peer.invite();
        await call.final();
        assert.deepEqual(await verbs(), ['EVALSHA'], 'INVITE, 200');
        await call.ack();
        assert.deepEqual(await verbs(), ['HGETALL'], 'ACK');
        await call.request('UPDATE');
        assert.deepEqual(await verbs(), ['HGETALL'], 'UPDATE that changes nothing');
        await call.request('INFO', { body: '4' });
        assert.deepEqual(await verbs(), ['HGETALL', 'EVALSHA'], 'INFO that changes something');
        await call.bye();
        assert.deepEqual(await verbs(), ['HGETALL', 'EVALSHA'], 'BYE');
        assert.equal(await redis.size(), 0);
      })
    );

    test(
      'a save writes the changed properties only',
      prepared(async ({ app }, monitor) => {
        const call = app.peer.invite({ callId: 'few' });
        await call.final();
        const [[, , , , ...created]] = await monitor.take();
        for (const name of ['user', 'at', 'digits']) assert.ok(created.includes(`.${name}`), `${name} was created`);
        await call.request('INFO', { body: '4' });
        const [, [verb, ...words]] = await monitor.take();
        assert.equal(verb, 'EVALSHA');
        assert.ok(words.includes('.digits'));
        assert.ok(!words.includes('.user') && !words.includes('.at'), words.join(' '));
      })
    );

    test(
      'an early request, a refused INVITE: no command',
      prepared(async ({ app }, monitor, verbs) => {
        await app.peer.invite({ headers: { 'x-refuse': '1' } }).final();
        assert.deepEqual(await verbs(), []);
      })
    );

    test(
      'a request outside a dialog that changes nothing: one load',
      prepared(async ({ app }, monitor, verbs) => {
        await app.peer.request('OPTIONS');
        assert.deepEqual(await verbs(), ['HGETALL']);
      })
    );

    test('CANCEL of an INVITE that was not saved: no command', async (bench) => {
      const { app } = bench;
      app.invite((req, res) => {
        req.session.x = 1;
        res.send(180);
      });
      app.cancel((req, res) => res.send(200));
      const monitor = await Monitor.start(bench.redis);
      try {
        const call = app.peer.invite();
        await turn();
        await turn();
        await call.cancel();
        assert.deepEqual(await monitor.verbs(), []);
      } finally {
        monitor.stop();
      }
    });

    test('a B2BUA: one script when leg B answers and one when leg A does, one or two loads from leg B', async (bench) => {
      const app = bench.bare();
      b2bua(app, session, bench.first);
      const legs = [];
      app.peer.onInvite((uac) => {
        legs.push(uac);
        uac.respond(200);
      });
      const connect = async () => {
        const legA = app.peer.invite();
        await legA.final();
        return { legA, legB: legs.at(-1) };
      };
      const { legA: old } = await connect(); // the server knows the scripts from now on
      await old.bye();
      await (
        await legs[0].received('BYE')
      ).answered;
      const monitor = await Monitor.start(bench.redis);
      try {
        const { legA, legB } = await connect();
        const answered = await monitor.verbs();
        assert.ok(answered.length <= 2 && answered.every((verb) => verb === 'EVALSHA'), answered.join(' '));
        await legA.ack();
        assert.deepEqual(await monitor.verbs(), ['HGETALL'], "leg A's ACK");
        await legB.request('UPDATE');
        const loads = await monitor.verbs();
        assert.ok(loads.length >= 1 && loads.length <= 2 && loads.every((verb) => verb === 'HGETALL'), loads.join(' '));
        await legB.bye();
        await (
          await legA.received('BYE')
        ).answered;
        const ended = await monitor.verbs();
        assert.ok(ended.every((verb) => verb === 'HGETALL' || verb === 'EVALSHA'));
        assert.equal(ended.filter((verb) => verb === 'EVALSHA').length, 2, 'each leg one removal');
        assert.ok(ended.length <= 5, ended.join(' '));
      } finally {
        monitor.stop();
      }
      await bench.assertEmpty();
    });
  },
  ({ ours, redis, cached }) => ours && redis && !cached
);
