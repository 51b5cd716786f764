'use strict';
// drachtio-srf: what an application sees without the module, it sees with it, in the same order; and nothing of a session
// goes to the server or into debug strings.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const session = require('../..');
const { DrachtioServer, SDP } = require('../../examples/drachtio-server');
const { connectSrf, onEachRelease, releases } = require('../support/srf/bench');
const { run } = require('../support/process');
const { until } = require('../support/waiting');

const BOB = 'sip:bob@b.example';
const CHALLENGE = { headers: { 'WWW-Authenticate': 'Digest realm="x", nonce="n1", algorithm=MD5, qop="auth"' } };

// An application that tells everything drachtio-srf tells it, and stays clear of sessions.
function narrate(srf, tell) {
  const watch = (req, res) => {
    for (const event of ['cancel', 'update']) req.on(event, () => tell(`${req.method} ${event}`));
    for (const event of ['end', 'finish']) res.on(event, () => tell(`${req.method} ${event}`));
  };
  const follow = (name, dialog) => {
    for (const event of [
      'info',
      'modify',
      'refresh',
      'hold',
      'destroy',
      'ack',
      'refer',
      'notify',
      'update',
      'message'
    ]) {
      dialog.on(event, (req, res) => {
        tell(`${name} ${event}, connected ${dialog.connected}, known ${srf.findDialogById(dialog.id) === dialog}`);
        if (event === 'destroy' && dialog.other?.connected)
          dialog.other.destroy().then(() => tell(`other of ${name} gone`), tell);
        if (typeof res?.send !== 'function') return;
        res.on('finish', () => tell(`${req.method} finish`));
        res.send(200, event === 'modify' ? { body: SDP('app') } : {}, (err, sent) =>
          tell(`sent ${err} ${sent?.status}`)
        );
        tell(`${name} ${event} answered, final ${res.finalResponseSent}, status ${res.statusCode}`);
      });
    }
  };
  srf.use((req, res, next) => {
    tell(`layer ${req.method}`);
    watch(req, res);
    next();
    tell(`layer ${req.method} back`);
  });
  srf.invite((req, res) => {
    tell(`handler ${req.calledNumber}`);
    const done = (what) => (value) => {
      tell(`${what} ${value?.status ?? typeof value}`);
      for (const name of ['uas', 'uac']) if (value?.[name]) follow(name, value[name]);
      if (value?.handle) follow('uas', value);
    };
    const progress = {
      cbRequest: (err, sent) => tell(`cbRequest ${err} ${sent?.method}`),
      cbProvisional: (got) => tell(`cbProvisional ${got.status}`),
      cbFinalizedUac: (uac) => tell(`cbFinalizedUac ${uac.type}`)
    };
    const auth = { username: 'a', password: 'b' };
    if (req.calledNumber === 'uas')
      srf.createUAS(req, res, { localSdp: SDP('app') }).then(done('resolved'), done('rejected'));
    if (req.calledNumber === 'called back')
      srf.createUAS(req, res, { localSdp: SDP('app') }, (err, uas) => done('given')(err || uas));
    if (req.calledNumber === 'busy') {
      res.send(180, () => tell('180 is sent'));
      res.send(486, 'Not now', { headers: { 'X-Why': 'busy' } }, (err, sent) => tell(`sent ${err} ${sent?.reason}`));
      tell(`final ${res.finalResponseSent}`);
      res.send(200, (err) => tell(`second ${err instanceof Error}`));
    }
    if (req.calledNumber === 'ring') res.send(180);
    if (req.calledNumber === 'b2bua') {
      srf.createB2BUA(req, res, BOB, { localSdpB: req.body, auth }, progress).then(done('resolved'), done('rejected'));
    }
    tell('handler back');
  });
  srf.options((req, res) => {
    tell('options');
    res.send(200, () => tell('options sent'));
  });
}

const refreshing = SDP('caller');
const changed = SDP('caller').replace('caller 1 1', 'caller 1 2').replace('46000', '46002');

const scenarios = {
  'a UAS call': async (server, spoken) => {
    const call = server.call({ to: 'uas' });
    await Promise.all([call.answered, spoken('uas ack')]);
    await call.info('1');
    await spoken('INFO finish');
    await spoken('sent null 200');
    await call.reinvite(refreshing);
    await spoken('uas ack', 2);
    await call.reinvite(changed);
    await spoken('uas ack', 3);
    await spoken('sent null 200', 2);
    await call.request('UPDATE');
    await spoken('sent null 200', 3);
    await call.request('MESSAGE', { body: 'x' });
    await spoken('sent null 200', 4);
    await spoken('MESSAGE finish');
    await call.bye();
    await spoken('destroy');
  },
  'a busy UAS': async (server, spoken) => {
    assert.equal((await server.call({ to: 'busy' }).final).status, 486);
    await spoken('INVITE finish');
    await spoken('sent null');
  },
  'a canceled UAS': async (server, spoken) => {
    const call = server.call({ to: 'ring' });
    await call.response(180);
    await call.cancel();
    await spoken('INVITE cancel');
  },
  'a B2BUA call that A ends': async (server, spoken) => {
    const call = server.call({ to: 'b2bua' });
    await Promise.all([call.answered, spoken('uas ack')]);
    await call.info('1');
    await call.bye();
    await spoken('gone');
  },
  'a B2BUA call that B ends, after a challenge': async (server, spoken) => {
    const callees = [];
    server.onInvite((callee) => {
      callees.push(callee);
      if (callees.length === 1) callee.respond(401, CHALLENGE);
      else callee.respond(200, { body: SDP('bob') });
    });
    const call = server.call({ to: 'b2bua' });
    await Promise.all([call.answered, spoken('uas ack')]);
    await callees[1].bye();
    await spoken('gone');
  },
  'a B2BUA call that is refused': async (server, spoken) => {
    server.onInvite((callee) => callee.respond(486));
    assert.equal((await server.call({ to: 'b2bua' }).final).status, 486);
    await spoken('rejected');
  },
  'a B2BUA call that is canceled': async (server, spoken) => {
    server.onInvite((callee) => callee.respond(180));
    const call = server.call({ to: 'b2bua' });
    await call.response(180);
    await call.cancel();
    await spoken('rejected');
  },
  'requests outside a dialog': async (server, spoken) => {
    assert.equal((await server.request('OPTIONS').final).status, 200);
    await spoken('OPTIONS finish');
    assert.equal((await server.request('OPTIONS', { headers: { Event: 'x' } }).final).status, 200);
  }
};

// What the application was told in a scenario.
async function told(srf, play) {
  const server = await DrachtioServer.start();
  const lines = [];
  const tell = (line) => lines.push(String(line));
  try {
    narrate(srf, tell);
    await connectSrf(srf, server);
    const spoken = (part, times = 1) =>
      until(() => lines.filter((line) => line.includes(part)).length >= times, `${part}, after ${lines}`);
    await play(server, spoken);
    await until(() => server.transactions.size === 0, 'everything to be answered');
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  } finally {
    srf.disconnect();
    await server.stop();
  }
  return lines;
}

onEachRelease((test, { release }) => {
  for (const [name, play] of Object.entries(scenarios)) {
    test(`${name}: the application is told the same in the same order`, async (bench) => {
      const srf = new release.Srf();
      srf.use(session({ store: bench.first, app: srf }));
      const expected = await told(new release.Srf(), play);
      assert.deepEqual(await told(srf, play), expected);
      assert.ok(expected.length > 4);
      await bench.becomesEmpty();
    });
  }

  test('nothing of a session goes to the server', async (bench) => {
    const wire = [];
    bench.server.on('wire', (from, text) => wire.push(text));
    const srf = await bench.start((app) =>
      app.invite(async (req, res) => {
        req.session.secret = 'xyzzy';
        const opts = { localSdpB: req.body, session: req.session };
        const { uas, uac } = await app.createB2BUA(req, res, BOB, opts);
        await app.createUAC(BOB, { localSdp: SDP('app'), session: req.session });
        await app.request(BOB, { method: 'OPTIONS', session: req.session });
        uas.on('info', (info, infoRes) => {
          info.session.secret += 'xyzzy';
          infoRes.send(200);
        });
        app.emit('established', uas, uac);
      })
    );
    const { call, given } = await bench.call(srf);
    const { uuid } = given[0].mks;
    await call.info('1');
    await call.bye();
    const text = wire.join('\n');
    assert.match(text, /OPTIONS sip:bob/);
    for (const secret of ['xyzzy', 'secret', uuid, 'mks']) assert.ok(!text.includes(secret), `${secret} was sent`);
    bench.server.restart();
  });
});

describe("drachtio-srf's debug strings", () => {
  for (const { name, major } of releases) {
    it(`${name}: nothing of a session is in them`, async () => {
      const code = `
        const { DrachtioServer, SDP } = require('./examples/drachtio-server');
        const { connectSrf } = require('./__test__/support/srf/bench');
        const Srf = require('${major === 4 ? 'drachtio-srf-4' : 'drachtio-srf'}');
        const { once } = require('node:events');
        (async () => {
          const server = await DrachtioServer.start();
          const srf = new Srf();
          srf.use(session({ app: srf }));
          srf.invite(async (req, res) => {
            req.session.secret = 'xyzzy';
            const { uas } = await srf.createB2BUA(req, res, 'sip:bob@b.example', { localSdpB: req.body, session: req.session });
            await srf.createUAC('sip:bob@b.example', { localSdp: SDP('app'), session: req.session });
            await srf.request('sip:bob@b.example', { method: 'OPTIONS', session: req.session });
            uas.on('info', (info, infoRes) => infoRes.send(200));
            srf.emit('established');
          });
          await connectSrf(srf, server);
          const call = server.call();
          await Promise.all([once(srf, 'established'), call.answered]);
          await call.info('1');
          await call.bye();
          process.exit(0);
        })();`;
      const { code: status, err } = await run(code, { env: { DEBUG: 'drachtio:*', DEBUG_COLORS: '0' } });
      assert.equal(status, 0, err.slice(-2000));
      assert.match(err, /createB2BUA: creating UAC, opts/);
      assert.ok(!err.includes('xyzzy'), 'the data is in the debug output');
    });
  }
});

it('every scenario tells something of each callback', async () => {
  const lines = [];
  for (const play of Object.values(scenarios)) lines.push(...(await told(new releases[0].Srf(), play)));
  for (const part of [
    'cbRequest',
    'cbProvisional',
    'resolved',
    'rejected',
    'cancel',
    'destroy',
    'refresh',
    'finish',
    'ack'
  ]) {
    assert.ok(
      lines.some((line) => line.includes(part)),
      part
    );
  }
});
