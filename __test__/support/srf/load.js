'use strict';
// Many calls through one drachtio-srf application and a scripted server, some at once: what each handler saw, and whether
// every call ended as it should. The application and the peers are in this process.

const { once } = require('node:events');
const { DrachtioServer, SDP } = require('../../../examples/drachtio-server');
const { connectSrf } = require('./bench');

// How a call goes on; two in three are connected and end in one of three ways.
const ENDINGS = [
  'A hangs up',
  'B hangs up',
  'both hang up',
  'canceled',
  'A hangs up',
  'B hangs up',
  'both hang up',
  'rejected'
];

// A B2BUA that hangs up the other leg, and keeps what it finds wrong in `wrong`.
function b2bua(srf, wrong) {
  const check = (what, expected, { session: data } = {}) => {
    if (data?.caller !== expected) wrong.push(`${what} of ${expected} saw ${JSON.stringify(data)}`);
  };
  const handle = (dialog, caller) => {
    dialog.on('info', (req, res) => {
      check('info', caller, req);
      req.session.digits = (req.session.digits || 0) + 1;
      res.send(200);
    });
    dialog.on('destroy', (bye) => {
      check('destroy', caller, bye);
      // the other leg may hang up at the same moment
      dialog.other.destroy().catch(() => undefined);
    });
  };
  srf.invite(async (req, res) => {
    const caller = req.callingNumber;
    req.session.caller = caller;
    req.on('cancel', () => check('cancel', caller, req));
    try {
      const dialogs = await srf.createB2BUA(req, res, `sip:${caller}@b.example`, { localSdpB: req.body });
      const { uas, uac } = dialogs;
      if (uas.session !== uac.session) wrong.push(`${caller}: the legs have two sessions`);
      for (const dialog of [uas, uac]) handle(dialog, caller);
      uas.once('ack', () => srf.emit(`connected ${caller}`));
    } catch (err) {
      if (err.status !== 487 && err.status !== 486) wrong.push(`${caller}: ${err}`);
    }
  });
}

async function play(server, srf, number, wrong) {
  const caller = `caller${number}`;
  const ending = ENDINGS[number % ENDINGS.length];
  const expect = (what, status, wanted) => {
    if (status !== wanted) wrong.push(`${caller}: ${what} ${status} instead of ${wanted}`);
  };
  const connected = once(srf, `connected ${caller}`);
  const reached = once(server, `callee ${caller}`);
  const call = server.call({ from: caller });
  if (ending === 'rejected') return expect('INVITE', (await call.final).status, 486);
  if (ending === 'canceled') {
    await call.response(180);
    return expect('INVITE', (await call.cancel()).status, 487);
  }
  const [[callee]] = await Promise.all([reached, connected, call.answered]);
  const digits = await Promise.all([call.info('1'), callee.info('2')]);
  digits.forEach(({ status }) => expect('INFO', status, 200));
  const legs = { 'A hangs up': [call], 'B hangs up': [callee], 'both hang up': [call, callee] }[ending];
  const byes = await Promise.all(legs.map((leg) => leg.bye()));
  // the application's own BYE may be first
  const allowed = legs.length > 1 ? [200, 481, 404] : [200];
  byes.forEach(({ status }) => allowed.includes(status) || expect('BYE', status, 200));
  if (legs.length === 1) await (legs[0] === call ? callee : call).received('BYE');
  return undefined;
}

// Runs `count` calls, `atOnce` of them at a time, and gives what was wrong.
async function load(srf, { count, atOnce }) {
  const wrong = [];
  const server = await DrachtioServer.start();
  [server, srf].forEach((emitter) => emitter.setMaxListeners(0));
  server.on('callee', (callee) => {
    const number = Number(callee.user.slice('caller'.length));
    const ending = ENDINGS[number % ENDINGS.length];
    server.emit(`callee ${callee.user}`, callee);
    if (ending === 'rejected') return callee.respond(486);
    callee.respond(180);
    return ending === 'canceled' ? undefined : server.hop(() => callee.respond(200, { body: SDP('callee') }));
  });
  server.onInvite(() => undefined);
  b2bua(srf, wrong);
  await connectSrf(srf, server);
  let next = 0;
  const line = async () => {
    while (next < count) await play(server, srf, next++, wrong);
  };
  await Promise.all(Array.from({ length: atOnce }, line));
  return { wrong, stop: () => (srf.disconnect(), server.stop()), server };
}

module.exports = { load };
