'use strict';
// drachtio-srf: what goes wrong around the identity of a dialog. A proxied request that the server refuses, moves that fail or
// follow each other, renamed keys, sessions that are regenerated, and callers who are challenged at once.

const assert = require('node:assert/strict');
const session = require('../..');
const { challenger, offer, uas } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');
const { until } = require('../support/waiting');

const ANN = { callId: 'one@a.example', tag: 'T1', from: 'ann' };
const BEN = { callId: 'one@a.example', tag: 'T2', from: 'ben' };

inEachWorld((test) => {
  test('an INVITE that could not be proxied is answered by the application', async (world) => {
    const { server } = world;
    const receive = server.receive.bind(server);
    server.receive = (connection, message) =>
      message.fields[0] === 'proxy'
        ? connection.send(['response', message.id, 'NOK', 'no route'])
        : receive(connection, message);
    const srf = await world.start((app) =>
      app.invite(async (req, res) => {
        world.begins(req);
        await app.proxyRequest(req, 'sip:x@127.0.0.1:5070', {}).catch(() => undefined);
        // the result of the proxying is over
        for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate);
        app.emit('up', world.follow(await app.createUAS(req, res, offer()), req.callingNumber));
      })
    );
    const call = await world.call(srf, { from: 'ann' });
    assert.deepEqual(await world.info(call), { owner: 'ann' });
    await call.bye();
  });

  test('two callers with one Call-ID are challenged at once, in two processes', ['claims'], async (world) => {
    const seen = [];
    const processes = [await world.start(challenger(seen)), await world.start(challenger(seen))];
    const callers = [ANN, BEN];
    for (const [at, caller] of callers.entries()) await world.dial(processes[at], caller).final;
    const calls = [];
    for (const [at, caller] of callers.entries()) {
      const headers = { 'Proxy-Authorization': 'Digest username="jack"' };
      calls.push(await world.call(processes[1 - at], { ...caller, headers }));
    }
    assert.deepEqual(
      seen.map(({ account }) => account),
      ['account of ann', 'account of ben']
    );
    for (const call of calls) await call.bye();
  });

  test('the Call-ID is set as a key again after another call had it', ['claims'], async (world) => {
    const processes = [await world.start(uas), await world.start(uas)];
    const ann = await world.call(processes[0], ANN);
    const ben = await world.call(processes[1], BEN);
    ben.dialog.mks.set(BEN.callId);
    await ben.dialog.session.save();
    assert.deepEqual([await world.info(ann), await world.info(ben)], [{ owner: 'ann' }, { owner: 'ben' }]);
    await ben.bye();
    assert.deepEqual(await world.info(ann), { owner: 'ann' });
    await ann.bye();
  });

  test('a Dialog stays where it is if the other session has ended', async (world) => {
    const srf = await world.start(uas);
    const ann = await world.call(srf, { from: 'ann' });
    const ben = await world.call(srf, { from: 'ben' });
    const { mks } = ann.dialog;
    await ann.bye();
    await assert.rejects(mks.adopt(ben.dialog), { code: 'ERR_SESSION_GONE' });
    assert.deepEqual(await world.info(ben), { owner: 'ben' });
    assert.deepEqual(await world.stored(ben.callId), { owner: 'ben' });
    await ben.bye();
  });

  test('a Dialog stays where it is if the other session can not be saved', async (world) => {
    const srf = await world.start(uas);
    const ann = await world.call(srf, { from: 'ann' });
    const ben = await world.call(srf, { from: 'ben' });
    ann.dialog.session.big = 1n;
    await assert.rejects(ann.dialog.mks.adopt(ben.dialog), { code: 'ERR_SESSION_DATA' });
    delete ann.dialog.session.big;
    assert.deepEqual(await world.info(ben), { owner: 'ben' });
    assert.deepEqual(await world.stored(ben.callId), { owner: 'ben' });
    for (const call of [ann, ben]) await call.bye();
  });

  test('two moves of a Dialog at once, there and back', async (world) => {
    const srf = await world.start(uas);
    const ann = await world.call(srf, { from: 'ann' });
    const ben = await world.call(srf, { from: 'ben' });
    const { mks } = ben.dialog;
    // it must not end while the Dialog is away
    await mks.set('kept').save();
    await Promise.all([ann.dialog.mks.adopt(ben.dialog), mks.adopt(ben.dialog)]);
    assert.equal(ben.dialog.mks, mks);
    assert.deepEqual(await world.stored(ben.callId), { owner: 'ben' });
    await mks.del('kept');
    assert.deepEqual(await world.info(ben), { owner: 'ben' });
    for (const call of [ann, ben]) await call.bye();
  });

  test('a session is regenerated in its dialog: the key stays that of the dialog', ['claims'], async (world) => {
    const srf = await world.start((app) =>
      app.invite(async (req, res) => {
        await app.store.regenerate(req);
        req.session.owner = req.callingNumber;
        app.emit('up', world.follow(await app.createUAS(req, res, offer()), req.callingNumber));
      })
    );
    const calls = [await world.call(srf, ANN), await world.call(srf, BEN)];
    const { store } = srf;
    for (const { dialog } of calls) {
      const { callId, localTag, remoteTag } = dialog.sip;
      const found = await session.Session.loadFromStorage({ store }, { callId, fromTag: remoteTag, toTag: localTag });
      assert.equal(found?.session.owner, dialog.session.owner);
    }
    for (const call of calls) await call.bye();
  });

  test('a renewal that can not be saved is reported once', ['ttl'], { ttl: 1 }, async (world) => {
    const srf = await world.start(uas);
    const call = await world.call(srf, { from: 'ann' });
    await world.during(100, () => undefined); // the ACK has saved what it found
    call.dialog.session.big = 1n;
    await until(() => world.errors.length > 0, 'the error');
    await world.during(700, () => undefined);
    assert.deepEqual(
      world.errors.splice(0).map(({ code }) => code),
      ['ERR_SESSION_DATA']
    );
    delete call.dialog.session.big;
    await call.bye();
  });
});
