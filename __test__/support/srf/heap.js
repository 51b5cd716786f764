'use strict';
// Run with --expose-gc: many calls on drachtio-srf, one after the other in a few lines; says as JSON how much of the heap
// is in use after some, and after many more, and how many requests and dialogs are still there.

const session = require('../../..');
const { DrachtioServer, SDP } = require('../../../examples/drachtio-server');
const { connectSrf } = require('./bench');

const [release, warm, total] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const LINES = 20;
const BIG = 'x'.repeat(1000);

const Srf = require(release);
const srf = new Srf();
const store = new session.MemoryStore();
srf.use(session({ store, app: srf }));

const alive = { req: 0, res: 0, dialog: 0 };
const registry = new FinalizationRegistry((what) => alive[what]--);
const watch = (what, object) => {
  alive[what]++;
  registry.register(object, what);
};

srf.invite(async (req, res) => {
  watch('req', req);
  watch('res', res);
  req.session.data = BIG;
  const number = req.calledNumber;
  if (number === 'busy') return res.send(486);
  const dialogs =
    number === 'uas' ? [await srf.createUAS(req, res, { localSdp: SDP('app') })] : await connect(req, res);
  for (const dialog of dialogs) {
    watch('dialog', dialog);
    dialog.on('info', (info, infoRes) => {
      info.session.digits = info.body;
      infoRes.send(200);
    });
    dialog.on('destroy', () => dialog.other?.destroy().catch(() => undefined));
  }
  return dialogs[0].once('ack', () => srf.emit(`ready ${req.callingNumber}`));
});

async function connect(req, res) {
  const { uas, uac } = await srf.createB2BUA(req, res, 'sip:bob@b.example', { localSdpB: req.body });
  return [uas, uac];
}

const once = (name) =>
  new Promise((resolve) => {
    srf.once(name, resolve);
  });

async function call(server, number) {
  const from = `caller${number}`;
  const to = ['uas', 'b2bua', 'busy'][number % 3];
  const ready = to === 'busy' ? undefined : once(`ready ${from}`);
  const leg = server.call({ from, to });
  await Promise.all([ready, leg.final]);
  if (to === 'busy') return;
  await leg.info('1');
  await leg.bye();
}

async function settled() {
  for (let round = 0; round < 20; round++) {
    await new Promise((resolve) => {
      setTimeout(resolve, 25);
    });
    global.gc();
  }
  return process.memoryUsage().heapUsed;
}

async function main() {
  const server = await DrachtioServer.start();
  srf.setMaxListeners(0);
  await connectSrf(srf, server);
  let next = 0;
  const until = (end) =>
    Promise.all(
      Array.from({ length: LINES }, async () => {
        while (next < end) await call(server, next++);
      })
    );
  await until(warm);
  const before = await settled();
  await until(total);
  const after = await settled();
  console.log(JSON.stringify({ before, after, alive, left: await store.length() }));
  srf.disconnect();
  await server.stop();
}

main();
