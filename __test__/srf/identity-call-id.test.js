'use strict';
// drachtio-srf: several calls with one Call-ID. Each has its own session, whichever side or the server itself sends a
// request, with Dialogs and without, in one process and in several, and after a restart of the server.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { offer, plain, uas } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');
const { until } = require('../support/waiting');

const ANN = { callId: 'one@a.example', tag: 'T1', from: 'ann' };
const BEN = { callId: 'one@a.example', tag: 'T2', from: 'ben' };

// Both calls are up: `world` has a process for each of `applications`, which may be one.
async function bothUp(world, applications, answer = uas, opts = {}) {
  const processes = [];
  for (let count = 0; count < applications; count++) processes.push(await world.start(answer));
  const ann = await world.call(processes[0], ANN);
  const ben = await world.call(processes.at(-1), { ...BEN, ...opts });
  return { ann, ben, processes };
}

const own = async (world, ann, ben) => {
  assert.deepEqual(await world.info(ann), { owner: 'ann' });
  assert.deepEqual(await world.info(ben), { owner: 'ben' });
};

inEachWorld((test) => {
  for (const [where, applications, needs] of [
    ['in one process', 1, []],
    ['in two processes', 2, ['claims']]
  ]) {
    for (const [answered, answer] of [
      ['with Dialogs', uas],
      ['by res.send(200)', plain]
    ]) {
      const title = (what) => `two calls with one Call-ID ${where}, answered ${answered}: ${what}`;

      test(title('each request has the data of its caller'), needs, async (world) => {
        const { ann, ben } = await bothUp(world, applications, answer);
        await own(world, ann, ben);
        await Promise.all([ann.info('1'), ben.info('2'), ann.info('3'), ben.info('4')]);
        assert.equal((await world.keys()).length, 2);
        await ann.bye();
        assert.deepEqual(await world.info(ben), { owner: 'ben' });
        await ben.bye();
        assert.deepEqual(world.ended, [{ owner: 'ann' }, { owner: 'ben' }]);
      });

      test(title('the later one hangs up first'), needs, async (world) => {
        const { ann, ben } = await bothUp(world, applications, answer);
        await ben.bye();
        assert.deepEqual(await world.info(ann), { owner: 'ann' });
        assert.deepEqual(await world.stored(ann.callId), { owner: 'ann' });
        await ann.bye();
        assert.deepEqual(world.ended, [{ owner: 'ben' }, { owner: 'ann' }]);
      });

      test(title('both hang up at once'), needs, async (world) => {
        const { ann, ben } = await bothUp(world, applications, answer);
        await Promise.all([ann.bye(), ben.bye()]);
        assert.equal(world.ended.length, 2);
      });

      test(title('the server hangs up the later one, which sent no ACK'), needs, async (world) => {
        const { ann, ben } = await bothUp(world, applications, answer, { ack: false });
        ben.ackTimeout();
        await until(() => world.ended.length === 1, 'the end of the call');
        assert.deepEqual(world.ended, [{ owner: 'ben' }]);
        await world.hasKeys(1);
        assert.deepEqual(await world.info(ann), { owner: 'ann' });
        assert.deepEqual(await world.stored(ann.callId), { owner: 'ann' });
        await ann.bye();
        assert.deepEqual(world.ended[1], { owner: 'ann' });
      });

      test(title('the session timer of the earlier one runs out'), needs, async (world) => {
        const { ann, ben } = await bothUp(world, applications, answer);
        ann.sessionTimeout();
        await until(() => world.ended.length === 1, 'the end of the call');
        assert.deepEqual(world.ended, [{ owner: 'ann' }]);
        await world.hasKeys(1);
        assert.deepEqual(await world.info(ben), { owner: 'ben' });
        await ben.bye();
        assert.deepEqual(world.ended[1], { owner: 'ben' });
      });
    }

    test(`two calls with one Call-ID ${where}: the application hangs up each`, needs, async (world) => {
      const { ann, ben } = await bothUp(world, applications);
      await ben.dialog.destroy();
      assert.deepEqual(await world.info(ann), { owner: 'ann' });
      await ann.dialog.destroy();
    });

    test(
      `two calls with one Call-ID ${where}: requests that the server no longer knows a dialog of`,
      needs,
      async (world) => {
        const answer = (srf) => {
          uas(srf, world);
          world.handleInStack(srf, ['info', 'bye']);
        };
        const { ann, ben } = await bothUp(world, applications, answer);
        const ids = [];
        world.server.on('wire', (from, text) => {
          if (from === 'server' && text.includes('\r\nINFO ')) ids.push(text.split('|')[9]);
        });
        await world.restartServer(['info', 'bye']);
        // they go round the processes, so that each of them gets requests of both calls
        for (let count = 0; count < 2; count++) await own(world, ann, ben);
        assert.deepEqual(ids, ['', '', '', '']);
        await ben.bye();
        assert.deepEqual(await world.info(ann), { owner: 'ann' });
        await ann.bye();
        assert.deepEqual(world.ended, [{ owner: 'ben' }, { owner: 'ann' }]);
      }
    );
  }

  test('a process that never had the calls gets their requests after a restart', ['claims'], async (world) => {
    const { ann, ben, processes } = await bothUp(world, 1);
    await world.kill(processes[0]);
    await world.start((srf) => world.handleInStack(srf, ['info', 'bye']));
    world.server.restart();
    await world.server.routed(['info', 'bye']);
    await own(world, ann, ben);
    await ann.bye();
    assert.deepEqual(await world.info(ben), { owner: 'ben' });
    await ben.bye();
  });

  test('a process hangs up by dialog id what another has left, one call after the other', ['claims'], async (world) => {
    const { ann, ben, processes } = await bothUp(world, 1);
    await world.kill(processes[0]);
    const other = await world.start((srf) => world.handleInStack(srf, ['bye']));
    for (const call of [ben, ann]) {
      const bye = await other.request('sip:placeholder', { method: 'BYE', stackDialogId: call.dialog.id });
      const [{ status }] = await once(bye, 'response');
      assert.equal(status, 200);
      await world.hasKeys(call === ben ? 1 : 0);
      if (call === ben) assert.deepEqual(await world.stored(ann.callId), { owner: 'ann' });
    }
  });

  test('the server does not know the dialog that a process hangs up by its id', ['claims'], async (world) => {
    const { ann, ben, processes } = await bothUp(world, 1);
    await world.kill(processes[0]);
    const other = await world.start((srf) => world.handleInStack(srf, ['bye']));
    world.server.dialogs.clear();
    const hangUp = ({ dialog }) => other.request('sip:placeholder', { method: 'BYE', stackDialogId: dialog.id });
    await assert.rejects(hangUp(ben), /unable to find dialog/i);
    await world.hasKeys(1);
    assert.deepEqual(await world.stored(ann.callId), { owner: 'ann' });
    await assert.rejects(hangUp(ann), /unable to find dialog/i);
  });

  test('the earlier of two pending calls with one Call-ID is canceled: the later one stays', async (world) => {
    const canceled = [];
    const srf = await world.start((app) =>
      app.invite((req, res) => {
        world.begins(req);
        const owner = req.callingNumber;
        app.once(`answer ${owner}`, async () =>
          app.emit('up', world.follow(await app.createUAS(req, res, offer()), owner))
        );
        res.send(180);
      })
    );
    const calls = {};
    for (const [from, tag] of [
      ['ann', 'T1'],
      ['ben', 'T2']
    ]) {
      calls[from] = world.dial(srf, { callId: 'pending@a.example', tag, from });
      await calls[from].response(180);
    }
    calls.ann.cancel();
    canceled.push((await calls.ann.final).status);
    const up = once(srf, 'up');
    srf.emit('answer ben');
    const [[dialog]] = await Promise.all([up, calls.ben.answered]);
    assert.deepEqual([canceled, dialog.mks.removed, { ...dialog.session }], [[487], false, { owner: 'ben' }]);
    assert.deepEqual(await world.info(calls.ben), { owner: 'ben' });
    assert.equal((await world.stored(dialog.mks.keys[0].slice(4)))?.owner, 'ben');
    await calls.ben.bye();
  });

  test('twenty calls with one Call-ID at once', async (world) => {
    const srf = await world.start(uas);
    const calls = [];
    for (let number = 0; number < 20; number++) {
      calls.push(await world.call(srf, { callId: 'many@a.example', tag: `T${number}`, from: `caller${number}` }));
    }
    const found = await Promise.all(calls.map((call) => world.info(call)));
    assert.deepEqual(
      found.map(({ owner }) => owner),
      calls.map(({ user }) => user)
    );
    await Promise.all(calls.map((call) => call.bye()));
    assert.equal(new Set(world.ended.map(({ owner }) => owner)).size, 20);
  });

  // ---- the same Call-ID again

  test('an ACK and a BYE in one turn: the handlers of destroy change the session, and no error', async (world) => {
    const srf = await world.start((app) =>
      app.invite(async (req, res) => {
        world.begins(req);
        const dialog = world.follow(await app.createUAS(req, res, { localSdp: 'v=0' }), req.callingNumber);
        dialog.on('ack', (ack) => (ack.session.acknowledged = true));
        dialog.on('destroy', (bye) => (bye.session.over = true));
        app.emit('up', dialog);
      })
    );
    for (let count = 0; count < 50; count++) {
      const call = await world.call(srf, { ack: false });
      call.ack(undefined, call.transaction.id);
      await call.bye();
    }
  });

  for (const [which, tag] of [
    ['the same From tag', 'T1'],
    ['another From tag', 'T2']
  ]) {
    test(`a call, and the next one with its Call-ID and ${which} at once after the BYE`, async (world) => {
      const srf = await world.start(uas);
      for (const from of ['ann', 'ben', 'cid']) {
        const call = await world.call(srf, { ...ANN, tag: from === 'ben' ? tag : 'T1', from });
        assert.deepEqual(await world.info(call), { owner: from });
        await call.bye();
      }
    });
  }
});
