'use strict';
// drachtio-srf: INVITEs with one Call-ID and one From tag, which a proxy has forked to the application (RFC 3261, 16.7). Only
// the branch differs (RFC 3261, 8.2.2.2).

const assert = require('node:assert/strict');
const { once } = require('node:events');
const session = require('../..');
const { SDP } = require('../../examples/drachtio-server');
const { offer } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');

const FORK = { callId: 'forked@a.example', tag: 'T1' };

// Rings, and answers when the test emits `answer <number>`. The device that rings is the owner of the session.
const device = (srf, world) =>
  srf.invite((req, res) => {
    world.begins(req);
    const owner = req.calledNumber;
    req.session.owner = owner;
    req.on('cancel', () => {
      if (req.session.owner !== owner) world.wrong.push(`CANCEL of ${owner} has ${JSON.stringify(req.session)}`);
      srf.emit(`canceled ${owner}`);
    });
    srf.once(`answer ${owner}`, async () => {
      srf.emit('up', world.follow(await srf.createUAS(req, res, offer()), owner));
    });
    res.send(180);
  });

// Answers the fork to a device -> its Dialog.
async function answer(srf, fork) {
  const up = once(srf, 'up');
  srf.emit(`answer ${fork.to}`);
  const [[dialog]] = await Promise.all([up, fork.call.answered]);
  return dialog;
}

// INVITEs to three devices, one after the other to each of the processes; all ring.
async function threeRing(world, processes, opts = {}) {
  const forks = [];
  for (const [number, to] of ['desk', 'mobile', 'home'].entries()) {
    const srf = processes[number % processes.length];
    const call = world.dial(srf, { ...FORK, ...opts, to });
    await call.response(180);
    forks.push({ call, srf, to });
  }
  return forks;
}

const WHERE = [
  ['in one process', 1, []],
  ['in two processes', 2, ['claims']]
];

const start = async (world, count) => {
  const processes = [];
  while (processes.length < count) processes.push(await world.start(device));
  return processes;
};

inEachWorld((test) => {
  for (const [where, count, needs] of WHERE) {
    for (const [number, which] of ['first', 'second', 'third'].entries()) {
      test(`three forks of one INVITE ${where}: the ${which} is answered`, needs, async (world) => {
        const forks = await threeRing(world, await start(world, count));
        const chosen = forks[number];
        const dialog = await answer(chosen.srf, chosen);
        // the proxy cancels the others (RFC 3261, 16.7, 10)
        const others = forks.filter((fork) => fork !== chosen);
        const finals = await Promise.all(others.map(({ call }) => call.cancel()));
        assert.deepEqual(
          finals.map(({ status }) => status),
          [487, 487]
        );
        const mine = { owner: chosen.to };
        assert.deepEqual({ ...dialog.session }, mine);
        assert.deepEqual(await world.info(chosen.call), mine);
        assert.equal((await chosen.call.reinvite(SDP('again'))).status, 200);
        const [id] = await world.hasKeys(1);
        assert.deepEqual(await world.stored(id), mine);
        await chosen.call.bye();
        assert.deepEqual(world.ended, [mine]);
      });
    }

    test(`a fork ${where} right after the CANCEL of the one before: a session of its own`, needs, async (world) => {
      const processes = await start(world, count);
      const numbers = ['desk', 'mobile', 'home', 'office', 'car'];
      let last;
      for (const [number, to] of numbers.entries()) {
        const srf = processes[number % processes.length];
        last?.call.cancel();
        last = { call: world.dial(srf, { ...FORK, to }), srf, to };
        await last.call.response(180);
      }
      const dialog = await answer(last.srf, last);
      assert.deepEqual(await world.info(last.call), { owner: last.to });
      assert.deepEqual(await world.stored(FORK.callId), { owner: last.to });
      assert.equal(dialog.mks.removed, false);
      await last.call.bye();
      assert.deepEqual(world.ended, [{ owner: last.to }]);
    });

    test(`the next fork ${where} comes in one turn with the CANCEL, and is answered at once`, needs, async (world) => {
      const processes = await start(world, count);
      const first = { call: world.dial(processes[0], { ...FORK, to: 'desk' }), to: 'desk' };
      await first.call.response(180);
      const srf = processes.at(-1);
      const canceled = once(processes[0], 'canceled desk');
      first.call.cancel();
      const second = { call: world.dial(srf, { ...FORK, to: 'mobile' }), to: 'mobile' };
      await Promise.all([canceled, second.call.response(180)]);
      await answer(srf, second);
      await first.call.final;
      assert.deepEqual(await world.info(second.call), { owner: 'mobile' });
      await second.call.bye();
    });

    test(`forks ${where} beside another call with their Call-ID`, needs, async (world) => {
      const processes = await start(world, count);
      const other = { call: world.dial(processes[0], { ...FORK, tag: 'T2', to: 'office' }), to: 'office' };
      await other.call.response(180);
      await answer(processes[0], other);
      const forks = await threeRing(world, processes);
      await answer(forks[1].srf, forks[1]);
      await Promise.all([forks[0].call.cancel(), forks[2].call.cancel()]);
      assert.deepEqual(await world.info(forks[1].call), { owner: 'mobile' });
      assert.deepEqual(await world.info(other.call), { owner: 'office' });
      await other.call.bye();
      assert.deepEqual(await world.info(forks[1].call), { owner: 'mobile' });
      await forks[1].call.bye();
    });
  }

  test('the last of three forks is answered: another process finds it by its tags', ['processes'], async (world) => {
    const [srf] = await start(world, 1);
    const forks = await threeRing(world, [srf]);
    const dialog = await answer(srf, forks[2]);
    const { callId, localTag, remoteTag } = dialog.sip;
    const store = await world.store();
    const mks = await session.Session.loadFromStorage({ store }, { callId, fromTag: remoteTag, toTag: localTag });
    assert.equal(mks?.session.owner, 'home');
    for (const { call } of forks.slice(0, 2)) call.cancel();
    await forks[2].call.bye();
  });

  test('a fork that is answered by res.send(200): its requests have its session', async (world) => {
    const srf = await world.start((app) => {
      app.invite((req, res) => {
        req.session.owner = req.calledNumber;
        app.once(`answer ${req.calledNumber}`, () => res.send(200, { body: SDP('app') }));
        res.send(180);
      });
      for (const method of ['info', 'bye']) {
        app[method]((req, res) => res.send(200, { body: JSON.stringify(req.session) }));
      }
    });
    const [first, second] = await threeRing(world, [srf]);
    srf.emit(`answer ${second.to}`);
    await second.call.answered;
    assert.deepEqual(JSON.parse((await second.call.info('1')).body), { owner: 'mobile' });
    first.call.cancel();
    assert.deepEqual(JSON.parse((await second.call.bye()).body), { owner: 'mobile' });
    world.server.call({ ...FORK, connectTo: srf.connection, to: 'home' }).cancel();
  });

  test('forks that are all refused leave nothing', async (world) => {
    const srf = await world.start((app) =>
      app.invite((req, res) => {
        world.begins(req);
        res.send(req.calledNumber === 'desk' ? 486 : 603);
      })
    );
    const calls = ['desk', 'mobile', 'home'].map((to) => world.dial(srf, { ...FORK, to }));
    const finals = await Promise.all(calls.map((call) => call.final));
    assert.deepEqual(
      finals.map(({ status }) => status),
      [486, 603, 603]
    );
  });

  test('two devices answer a forked INVITE at once: each has its own session', async (world) => {
    const srf = await world.start(device);
    const forks = await threeRing(world, [srf]);
    const [desk, mobile] = [await answer(srf, forks[0]), await answer(srf, forks[1])];
    assert.deepEqual([{ ...desk.session }, { ...mobile.session }], [{ owner: 'desk' }, { owner: 'mobile' }]);
    await forks[2].call.cancel();
    // the caller hangs up the second (RFC 3261, 13.2.2.4); the server knows one dialog only
    await mobile.destroy().catch(() => undefined);
    assert.deepEqual({ ...desk.session }, { owner: 'desk' });
    assert.equal(desk.mks.removed, false);
    await desk.destroy().catch(() => undefined);
  });
});
