// Two calls through a B2BUA on drachtio-srf, step by step: what goes between server and application, and what the session
// holds after each step. Nothing has to be installed: a scripted drachtio server plays the SIP peers.
// `node examples/demo.js [--redis]`
'use strict';

const { once } = require('node:events');
const Srf = require('drachtio-srf');
const session = require('..');
const b2bua = require('./srf-b2bua');
const { DrachtioServer } = require('./drachtio-server');
const { RedisServer } = require('../__test__/support/redis');

const STEP_TIMEOUT = 5000; // ms
const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, dim, green, red] = [paint(1), paint(2), paint(32), paint(31)];
const print = (text = '') => console.log(text);
const duration = (ms) => (ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toFixed(2)} ms`);

// Tells after each step which SIP messages went between server and application, and what the session is now.
class Narrator {
  constructor(server, store) {
    Object.assign(this, { store, messages: [], legs: new Map(), count: 0 });
    server.on('sip', (source, message) => this.messages.push(this.line(source, message)));
  }

  // The first Call-ID of a call is leg A's, the second one leg B's.
  line(source, message) {
    const callId = message.get('call-id');
    if (!this.legs.has(callId)) this.legs.set(callId, 'AB'[this.legs.size % 2]);
    const [, method] = message.get('cseq').split(' ');
    const what = message.isResponse ? `${message.status} ${message.reason} (${method})` : method;
    const arrow = source === 'network' ? '-> app' : '<- app';
    return `leg ${this.legs.get(callId)} ${arrow}  ${what.padEnd(30)} ${dim(callId)}`;
  }

  async step(title, act) {
    this.messages = [];
    this.count++;
    let timer;
    const late = new Promise((resolve, reject) => {
      const err = new Error(`Step ${this.count} did not end within ${STEP_TIMEOUT / 1000} s`);
      timer = setTimeout(reject, STEP_TIMEOUT, err);
    });
    const start = performance.now();
    try {
      await Promise.race([act(), late]);
    } finally {
      const took = performance.now() - start;
      clearTimeout(timer);
      print(`${bold(`${this.count}. ${title}`)}  ${dim(duration(took))}`);
      this.messages.forEach((message) => print(`   ${message}`));
    }
    if (this.dialogs) this.printLive();
    await this.printStored();
    print();
  }

  printLive() {
    const [uas, uac] = this.dialogs;
    const both = uas.session === uac.session ? 'uas.session === uac.session' : 'two sessions';
    print(`   ${both}  ${JSON.stringify(uas.session)}`);
  }

  async printStored() {
    const [ids, all] = await Promise.all([this.store.ids(), this.store.all()]);
    if (!all.length && !ids.length) return print('   in the store   nothing');
    for (const { keys, session: data } of all) {
      const names = Array.isArray(keys) ? keys : Object.keys(keys);
      print(green(`   in the store   ${JSON.stringify(data)}`));
      print(green(`   under the keys ${names.join('  ')}`));
    }
    print(dim(`   its ids        ${[...ids].join('  ')}`));
  }
}

async function play(server, srf, store) {
  const narrator = new Narrator(server, store);
  let call;
  let callee;
  server.onInvite((leg) => leg.respond(180));
  await narrator.step('Leg A calls. The application calls leg B, which rings: nothing is written yet', async () => {
    const reached = server.callee();
    call = server.call({ from: 'jack', ack: false });
    callee = await reached;
    await call.response(180);
  });
  await narrator.step('Leg B answers: both Call-IDs lead to one session, saved before A gets its 200', async () => {
    const answered = once(srf, 'call answered');
    callee.respond(200, { body: 'v=0\r\no=callee 1 1 IN IP4 127.0.0.1\r\ns=-\r\n' });
    narrator.dialogs = await answered;
    await call.answered;
  });
  await narrator.step('Leg A acknowledges: loaded, unchanged, so nothing is written', async () => {
    const acknowledged = once(narrator.dialogs[0], 'ack');
    call.ack({}, call.transaction.id);
    await acknowledged;
  });
  await narrator.step('Leg B presses 4: its INFO finds the session by the other Call-ID', () => callee.info('4'));
  await narrator.step('Leg A presses 2: it sees what leg B has left', () => call.info('2'));
  await narrator.step(
    'Leg B hangs up, the application hangs up leg A: the last key takes the session along',
    async () => {
      const ended = once(srf, 'call ended');
      await callee.bye();
      const [{ caller, digits }] = await ended;
      if (caller !== 'jack' || digits !== '42') throw new Error(`the BYE found ${caller} and ${digits}`);
    }
  );
  narrator.dialogs = undefined;
  await narrator.step('A second call, but B is busy: there is no dialog, so nothing is kept', async () => {
    server.onInvite((leg) => leg.respond(486));
    await server.call().final;
  });
}

// The same store for the application and for those who look into it.
async function onStore(store, where) {
  const server = await DrachtioServer.start();
  const srf = new Srf();
  try {
    b2bua(srf, session, store);
    srf.connect(server.connectOptions);
    await server.routed('invite');
    print(`\nCalls through examples/srf-b2bua.js with ${bold(where)}\n`);
    await store.length(); // connected: the first step's time is its own
    await play(server, srf, store);
    const left = await store.length();
    if (left !== 0) throw new Error(`${left} session(s) left in the store after the last BYE, there should be none`);
    print(`${green('Nothing is left')}: store.length() is 0.\n`);
  } finally {
    srf.disconnect();
    await server.stop();
    await store.close();
  }
}

async function main(args) {
  process.exitCode = 1; // until the end is reached: a promise that nothing settles ends the process quietly
  const useRedis = args.includes('--redis');
  if (args.some((arg) => arg !== '--redis')) throw new Error('usage: node examples/demo.js [--redis]');

  const redis = useRedis ? await RedisServer.start() : undefined;
  try {
    const store = useRedis
      ? new session.RedisStore({ host: '127.0.0.1', port: redis.port })
      : new session.MemoryStore();
    const server = useRedis && `RedisStore (redis-server ${redis.process.pid} on 127.0.0.1:${redis.port})`;
    await onStore(store, server || 'MemoryStore');
  } finally {
    if (redis) await redis.stop();
  }

  print('What happened: every request of either leg found the data of its call as req.session, by its Call-ID.');
  print('The application never loaded or saved: changes were stored before each final response left,');
  print('a request that changed nothing wrote nothing, and the BYE of the last leg removed the session.');
  print('Times are of whole steps (all messages, both legs, the handlers), the first ones on cold code.\n');
  print(`Next: node examples/demo.js${useRedis ? '' : ' --redis'}   the same ${useRedis ? 'in memory' : 'in a Redis'}`);
  print('      examples/srf-*.js   the applications; examples/drachtio-server/   what plays server and network');
  print('      npm test');
  process.exitCode = 0;
}

process.stdout.once('error', () => process.exit(1)); // a pipe that was closed: | head
main(process.argv.slice(2)).catch((err) => {
  console.error(red(err.message));
  if (process.env.DEBUG) console.error(err.stack);
  process.exitCode = 1;
});
