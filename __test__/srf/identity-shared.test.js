'use strict';
// drachtio-srf: a leg that is up keeps its session stored, whatever becomes of the call that began it.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { SDP } = require('../../examples/drachtio-server');
const { keepsCallId, offer } = require('../support/srf/parties');
const { inEachWorld } = require('../support/srf/world');
const { until } = require('../support/waiting');

const AGENT = 'sip:agent@127.0.0.1:5070';
const MINE = { owner: 'ann' };

// A caller waits while an agent is connected with his session; then the test goes on with `app.emit('up', agent, req, res)`.
const queue = (options) => (srf, world) =>
  srf.invite(async (req, res) => {
    world.begins(req);
    res.send(180);
    const agent = await srf.createUAC(AGENT, { ...offer(), session: req.session, ...options?.(req) });
    srf.emit('up', world.follow(agent, 'ann'), req, res);
  });

// The agent's leg is up, and the caller is still waiting.
async function waiting(world, srf, opts) {
  const up = once(srf, 'up');
  const callee = world.server.callee();
  const call = world.dial(srf, { from: 'ann', callId: 'waits@a.example', ...opts });
  const [agent, req, res] = await up;
  return { call, agent, req, res, callee: await callee };
}

const ENDS = {
  'is refused': ({ res, call }) => (res.send(480), call.final),
  'gives up': ({ call }) => call.cancel(),
  'is proxied to a voice mail': async ({ call, req }, srf, world) => {
    const proxied = world.server.proxied();
    srf.proxyRequest(req, 'sip:mail@127.0.0.1:5070', () => undefined);
    (await proxied).respond(200, { body: SDP('mail') });
    return call.final;
  }
};

// A caller whose agent's phone rings. The application emits `up` with the agent's Dialog, or `failed`.
async function ringing(world) {
  world.server.onInvite((agent) => agent.respond(180));
  const srf = await world.start((app) =>
    app.invite(async (req, res) => {
      world.begins(req);
      const connected = app.createUAC(AGENT, { ...offer(), session: req.session });
      app.emit('ringing', res);
      const dialog = await connected.catch((err) => void app.emit('failed', err));
      if (dialog) app.emit('up', world.follow(dialog, 'ann'));
    })
  );
  const called = world.server.callee();
  const [[res], callee] = await Promise.all([once(srf, 'ringing'), called, world.dial(srf, { from: 'ann' })]);
  return { callee, res, srf };
}

inEachWorld((test) => {
  for (const [how, end] of Object.entries(ENDS)) {
    for (const [which, options] of [
      ['an agent', undefined],
      ['an agent whose leg keeps the Call-ID', keepsCallId]
    ]) {
      test(`a caller waits for ${which}, and ${how}: the session of the agent's leg is stored`, async (world) => {
        const srf = await world.start(queue(options));
        const parties = await waiting(world, srf);
        await end(parties, srf, world);
        const [id] = await world.hasKeys(1);
        assert.deepEqual(await world.stored(id), MINE);
        assert.deepEqual(await world.info(parties.callee), MINE);
        await parties.callee.bye();
        assert.deepEqual(world.ended, [MINE]);
      });
    }
  }

  test('a caller waits for an agent and is answered: both legs have one session', async (world) => {
    const srf = await world.start(queue());
    const { agent, call, callee, req, res } = await waiting(world, srf);
    const dialog = world.follow(await srf.createUAS(req, res, offer()), 'ann');
    await call.answered;
    assert.equal(dialog.session, agent.session);
    await world.hasKeys(2);
    await call.bye();
    assert.deepEqual(await world.stored(callee.callId), MINE);
    await callee.bye();
  });

  test('an agent answers while the caller waits: the session is stored, though it is empty', async (world) => {
    const srf = await world.start((app) =>
      app.invite(async (req, res) => {
        res.send(180);
        const agent = await app.createUAC(AGENT, { ...offer(), session: req.session });
        app.emit('agent', agent, res);
      })
    );
    const call = world.dial(srf, { callId: 'empty@a.example' });
    const [agent, res] = await once(srf, 'agent');
    await until(async () => (await world.stored(agent.sip.callId)) !== undefined, 'the session to be stored');
    res.send(480);
    await call.final;
    await agent.destroy();
  });

  test('a caller is refused while two legs share his session', async (world) => {
    const srf = await world.start((app) =>
      app.invite(async (req, res) => {
        world.begins(req);
        const legs = [];
        for (const uri of [AGENT, 'sip:supervisor@127.0.0.1:5070']) {
          legs.push(world.follow(await app.createUAC(uri, { ...offer(), session: req.session }), 'ann'));
        }
        res.send(480);
        app.emit('up', ...legs);
      })
    );
    const up = once(srf, 'up');
    const call = world.dial(srf, { from: 'ann' });
    const [[agent, supervisor]] = await Promise.all([up, call.final]);
    await world.hasKeys(2);
    await agent.destroy();
    assert.deepEqual(await world.stored(supervisor.sip.callId), MINE);
    await supervisor.destroy();
  });

  test("a caller is refused while the agent's phone rings: the session is stored once it is answered", async (world) => {
    const { callee, res, srf } = await ringing(world);
    res.send(480);
    const up = once(srf, 'up');
    callee.respond(200, { body: SDP('agent') });
    await up;
    await world.becomes(callee.callId, MINE);
    await callee.bye();
  });

  test("a caller is refused while the agent's phone rings, and the agent does not answer", async (world) => {
    const { callee, res, srf } = await ringing(world);
    const failed = once(srf, 'failed');
    res.send(480);
    callee.respond(486);
    await failed;
    await world.becomesEmpty();
  });

  test('another process takes over the leg of a refused caller', ['processes'], async (world) => {
    const srf = await world.start(queue());
    const parties = await waiting(world, srf);
    await ENDS['is refused'](parties);
    await world.becomes(parties.callee.callId, MINE);
    await world.kill(srf);
    const other = await world.start((app) => world.handleInStack(app, ['bye']));
    const bye = await other.request('sip:placeholder', { method: 'BYE', stackDialogId: parties.agent.id });
    await once(bye, 'response');
  });
});
