'use strict';
// drachtio-srf: a B2BUA that gives its B leg the Call-ID of the A leg; and an INVITE of the application that comes back to it
// (a spiral), also one that it proxies.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { SDP } = require('../../examples/drachtio-server');
const { BOB, b2bua, keepsCallId, offer } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');
const { until } = require('../support/waiting');

const ANN = { callId: 'kept@a.example', tag: 'T1', from: 'ann' };
const MINE = { owner: 'ann' };

// A B2BUA whose session has the ids of both dialogs, so that another process can hang them up.
const remembersIds = (srf, world) =>
  srf.invite(async (req, res) => {
    world.begins(req);
    const options = { localSdpB: req.body, ...keepsCallId(req) };
    const { uas: legA, uac: legB } = await srf.createB2BUA(req, res, BOB, options);
    req.session.dialogs = [legA.id, legB.id];
    await req.session.save();
    srf.emit('up', legA, legB);
  });

const keeping = (stays) => b2bua({ options: keepsCallId, stays });

// Connects calls to the switch; answers calls to the desk, which have a session of their own.
const switching = (srf, world) =>
  srf.invite(async (req, res) => {
    world.begins(req);
    const number = req.calledNumber;
    req.session.owner = number;
    if (number === 'desk') return srf.emit('desk', world.follow(await srf.createUAS(req, res, offer()), 'desk'));
    const options = { localSdpB: req.body };
    const { uas: legA, uac: legB } = await srf.createB2BUA(req, res, 'sip:desk@127.0.0.1:5060', options);
    for (const dialog of [legA, legB]) world.follow(dialog, number);
    legA.on('destroy', () => legB.destroy().catch(() => undefined));
    return srf.emit('up', legA, legB);
  });

// Proxies calls to the exchange, and answers those to the desk.
const proxying = (srf, world) =>
  srf.invite(async (req, res) => {
    world.begins(req);
    if (req.calledNumber === 'exchange') return srf.proxyRequest(req, 'sip:desk@127.0.0.1:5060', () => undefined);
    return srf.emit('up', world.follow(await srf.createUAS(req, res, offer()), req.callingNumber));
  });

inEachWorld((test) => {
  test('a B2BUA that keeps the Call-ID: both legs have one session', async (world) => {
    const srf = await world.start(keeping());
    const call = await world.connect(srf, ANN);
    assert.equal(call.callee.callId, call.callId);
    assert.equal(call.dialogs[0].session, call.dialogs[1].session);
    assert.deepEqual(await world.info(call), MINE);
    assert.deepEqual(await world.info(call.callee), MINE);
    await Promise.all([call.info('1'), call.callee.info('2')]);
    assert.deepEqual(await world.stored(call.callId), MINE);
    await call.bye();
    await call.callee.received('BYE');
  });

  for (const [which, first, second] of [
    ['A', (call) => call, (call) => call.callee],
    ['B', (call) => call.callee, (call) => call]
  ]) {
    for (const [how, end] of [
      ['hangs up', (leg) => leg.bye()],
      ['lets its session timer expire', (leg) => leg.sessionTimeout()]
    ]) {
      test(`a B2BUA that keeps the Call-ID: ${which} ${how}, the other leg keeps the session`, async (world) => {
        const srf = await world.start(keeping(true));
        const call = await world.connect(srf, ANN);
        await end(first(call));
        await until(() => world.ended.length === 1, 'the end of the leg');
        const [id] = await world.hasKeys(1);
        assert.deepEqual(await world.info(second(call)), MINE);
        assert.deepEqual(await world.stored(id), MINE);
        await second(call).bye();
        assert.deepEqual(world.ended, [MINE, MINE]);
      });
    }
  }

  test('a B2BUA that keeps the Call-ID: both legs hang up at once', async (world) => {
    const srf = await world.start(keeping());
    for (let count = 0; count < 10; count++) {
      const call = await world.connect(srf, { ...ANN, callId: `both${count}@a.example` });
      await Promise.all([call.bye(), call.callee.bye()]);
    }
  });

  test('a B2BUA that keeps the Call-ID: the callee is busy, and another one answers', async (world) => {
    let count = 0;
    world.server.onInvite((callee) =>
      count++ === 0 ? callee.respond(486) : callee.respond(200, { body: SDP('carol') })
    );
    const srf = await world.start((app) =>
      app.invite(async (req, res) => {
        world.begins(req);
        const options = { localSdpB: req.body, passFailure: false, ...keepsCallId(req) };
        await assert.rejects(app.createB2BUA(req, res, BOB, { ...options }), { status: 486 });
        const { uas: legA, uac: legB } = await app.createB2BUA(req, res, 'sip:carol@127.0.0.1:5070', { ...options });
        for (const dialog of [legA, legB]) world.follow(dialog, 'ann');
        app.emit('up', legA, legB);
      })
    );
    const call = await world.connect(srf, ANN);
    assert.deepEqual(await world.info(call), MINE);
    await Promise.all(call.dialogs.map((dialog) => dialog.destroy()));
  });

  test(
    'a B2BUA that keeps the Call-ID dies, and another process hangs up its legs by id',
    ['claims'],
    async (world) => {
      for (const order of [
        [0, 1],
        [1, 0]
      ]) {
        const one = await world.start(remembersIds);
        const call = await world.connect(one, ANN);
        await world.kill(one);
        const other = await world.start((srf) => srf.bye((req, res) => res.send(200)));
        const { dialogs } = await world.stored(call.callId);
        for (const leg of order) {
          const bye = await other.request('sip:placeholder', { method: 'BYE', stackDialogId: dialogs[leg] });
          const [{ status }] = await once(bye, 'response');
          assert.equal(status, 200);
          await world.hasKeys(leg === order[0] ? 1 : 0);
        }
        await world.becomesEmpty();
        await world.kill(other);
      }
    }
  );

  test('a B2BUA that keeps the Call-ID dies; after a restart its legs send requests', ['claims'], async (world) => {
    const one = await world.start(keeping());
    const call = await world.connect(one, ANN);
    await world.kill(one);
    await world.start((srf) => {
      for (const method of ['info', 'bye']) {
        srf[method]((req, res) => res.send(200, { body: JSON.stringify(req.session) }));
      }
    });
    world.server.restart();
    await world.server.routed(['info', 'bye']);
    assert.deepEqual(await world.info(call), MINE);
    assert.deepEqual(await world.info(call.callee), MINE);
    await call.callee.bye();
    assert.deepEqual(await world.info(call), MINE);
    await call.bye();
  });

  // ---- spirals: `switch` connects to `desk`, and the INVITE to it comes back

  for (const [where, count, needs] of [
    ['the same process', 1, []],
    ['another process', 2, ['claims']]
  ]) {
    test(`an INVITE of a B2BUA comes back to ${where}: a call with a session of its own`, needs, async (world) => {
      const processes = [];
      for (let number = 0; number < count; number++) processes.push(await world.start(switching));
      const [one, other] = [processes[0], processes.at(-1)];
      let returned;
      world.server.onInvite((callee) => {
        returned = callee.comesBack({ to: 'desk', connectTo: other.connection });
      });
      const [[desk], call] = await Promise.all([once(other, 'desk'), world.call(one, { ...ANN, to: 'switch' })]);
      assert.equal(returned.callId, call.dialogs[1].sip.callId);
      assert.notEqual(desk.session, call.dialogs[1].session);
      assert.deepEqual(await world.info(call), { owner: 'switch' });
      assert.deepEqual({ ...desk.session }, { owner: 'desk' });
      // what the server knows as one dialog belongs to the leg that was answered last
      assert.equal((await returned.bye()).status, 481);
      await call.bye();
      assert.deepEqual({ ...desk.session }, { owner: 'desk' });
      assert.equal(desk.mks.removed, false);
      await desk.destroy().catch(() => undefined);
      assert.deepEqual(world.ended, [{ owner: 'switch' }]);
    });
  }

  // ---- a proxied INVITE that comes back

  for (const [where, count, needs] of [
    ['the same process', 1, []],
    ['another process', 2, ['claims']]
  ]) {
    test(`a proxied INVITE comes back to ${where}`, needs, async (world) => {
      const processes = [];
      for (let number = 0; number < count; number++) processes.push(await world.start(proxying));
      const other = processes.at(-1);
      const proxied = world.server.proxied();
      const up = once(other, 'up');
      const call = world.dial(processes[0], { ...ANN, to: 'exchange', ack: false });
      const returned = (await proxied).comesBack({ to: 'desk', connectTo: other.connection });
      const [[dialog]] = await Promise.all([up, call.answered, returned.answered]);
      assert.deepEqual(await world.info(returned), MINE);
      const [id] = await world.hasKeys(1);
      assert.deepEqual(await world.stored(id), MINE);
      await returned.bye();
      assert.deepEqual(world.ended, [MINE]);
      assert.equal(dialog.mks.removed, true);
    });
  }

  test('a call, whose INVITE was proxied and came back, beside another call with its Call-ID', async (world) => {
    const srf = await world.start(proxying);
    const ben = await world.call(srf, { ...ANN, tag: 'T2', from: 'ben', to: 'desk' });
    const proxied = world.server.proxied();
    const up = once(srf, 'up');
    const call = world.dial(srf, { ...ANN, to: 'exchange', ack: false });
    const returned = (await proxied).comesBack({ to: 'desk' });
    await Promise.all([up, call.answered, returned.answered]);
    assert.deepEqual(await world.info(returned), MINE);
    assert.deepEqual(await world.info(ben), { owner: 'ben' });
    await returned.bye();
    assert.deepEqual(await world.info(ben), { owner: 'ben' });
    await ben.bye();
  });

  test('a proxied call leaves nothing, whatever becomes of it', async (world) => {
    const srf = await world.start((app) =>
      app.invite(async (req) => {
        world.begins(req);
        if (req.calledNumber === 'saved') await req.session.save();
        app.proxyRequest(req, 'sip:far@127.0.0.1:5070', () => undefined);
      })
    );
    for (const to of ['exchange', 'saved']) {
      for (const status of [200, 486]) {
        const proxied = world.server.proxied();
        const call = world.dial(srf, { to, ack: false });
        (await proxied).respond(status, { body: status === 200 ? SDP('far') : '' });
        assert.equal((await call.final).status, status);
        await world.becomesEmpty();
      }
    }
  });
});
