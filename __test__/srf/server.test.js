'use strict';
// The scripted drachtio server, without the module: it says to drachtio-srf what the real server said, and gets the same
// answers. __test__/srf/recorded has conversations of drachtio-server 0.9.10 with drachtio-srf 5.0.29, callers played by sipp.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { once } = require('node:events');
const { describe, it } = require('node:test');
const { DrachtioServer, SDP } = require('../../examples/drachtio-server');
const { Conversation, recorded } = require('../support/srf/conversation');
const { connectSrf, releases } = require('../support/srf/bench');
const { until, within } = require('../support/waiting');

const CHALLENGE = 'Digest realm="x", nonce="n1", algorithm=MD5, qop="auth"';

// The application and the peers of the recorded conversations.
function application(srf, name) {
  srf.bye((req, res) => res.send(200));
  for (const method of ['info', 'options', 'ack']) srf[method]((req, res, next) => next());
  srf.register((req, res) => res.send(401, { headers: { 'WWW-Authenticate': CHALLENGE } }));
  const answer = async (req, res) => {
    if (name === 'cancel') return res.send(180);
    if (name.endsWith('b2bua')) {
      const { uas, uac } = await srf.createB2BUA(req, res, 'sip:callee@127.0.0.1:5070', { localSdpB: req.body });
      uas.on('destroy', () => uac.destroy());
    } else {
      await srf.createUAS(req, res, { localSdp: SDP('uas') });
    }
    return srf.emit('established');
  };
  srf.invite((req, res) => answer(req, res).catch((err) => srf.emit('failed', err)));
}

// drachtio-srf tells of the BYE at once: one that comes before the application has its dialog, it never hears of.
async function uasCall(server, srf, act) {
  const call = server.call({ to: 'uas' });
  await Promise.all([once(srf, 'established'), call.answered]);
  await act?.(call);
  await call.bye();
}

async function canceledCall(server) {
  const call = server.call({ to: 'ring' });
  await call.response(180);
  assert.equal((await call.cancel()).status, 487);
}

const scenarios = {
  uas: (server, srf) => uasCall(server, srf),
  info: (server, srf) =>
    uasCall(server, srf, async (call) => {
      await call.info('Signal=1');
      await call.info('Signal=1');
    }),
  reinvite: (server, srf) => uasCall(server, srf, (call) => call.reinvite(SDP('again'))),
  cancel: canceledCall,
  b2bua: async (server, srf) => {
    const [callee] = await Promise.all([server.callee(), uasCall(server, srf)]);
    await (
      await callee.received('BYE')
    ).answered;
  },
  'cancel-b2bua': async (server, srf) => {
    server.onInvite((callee) => callee.respond(180));
    const [[err]] = await Promise.all([once(srf, 'failed'), canceledCall(server)]);
    assert.equal(err.status, 487);
  },
  register: async (server) => assert.equal((await server.request('REGISTER', { to: 'uas' }).final).status, 401)
};

for (const { name, Srf } of releases) {
  describe(`the scripted server and ${name}`, () => {
    for (const [scenario, play] of Object.entries(scenarios)) {
      it(`${scenario}: as recorded with the real server`, async (t) => {
        const server = await DrachtioServer.start();
        const srf = new Srf();
        t.after(() => {
          srf.disconnect();
          return server.stop();
        });
        const messages = [];
        server.on('wire', (from, text) => messages.push({ from, text }));
        application(srf, scenario);
        await connectSrf(srf, server);
        await within(play(server, srf), 'the call to end');
        const file = path.join(__dirname, 'recorded', `${scenario}.txt`);
        const expected = new Conversation(recorded(fs.readFileSync(file, 'utf8')));
        await until(() => messages.length >= expected.messages.length, 'the whole conversation');
        assert.deepEqual(new Conversation(messages).kinds, expected.kinds);
      });
    }
  });
}
