// A call through a B2BUA, step by step: what is said on both legs, and what the session holds after each step.
// Nothing has to be installed: the SIP peers are scripted. `node examples/demo.js [--redis]`
'use strict';

const session = require('..');
const b2bua = require('./b2bua');
const host = require('./classic-host');
const { RedisServer } = require('../__test__/support/redis');

const STEP_TIMEOUT = 5000; // ms
const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, dim, green, red] = [paint(1), paint(2), paint(32), paint(31)];
const print = (text = '') => console.log(text);
const duration = (ms) => (ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toFixed(2)} ms`);

// Runs the application, and tells after each step what went over the wire and what the session is now.
class Narrator {
  constructor(app, store) {
    Object.assign(this, { app, store, messages: [], count: 0, failures: 0, last: undefined });
    app.on('message', (message) => this.messages.push(message));
    app.on('failure', (err, req) => {
      print(red(`   the handler of ${req.method} threw: ${err.stack}`));
      this.failures++;
    });
    // An ordinary middleware, in front of all others: it remembers the request, whose session is read after the step.
    app.use((req, res, next) => {
      this.last = req;
      next();
    });
  }

  async step(title, act) {
    this.messages = [];
    this.last = undefined;
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
      this.messages.forEach((message) => print(`   ${this.line(message)}`));
    }
    this.printLive();
    await this.printStored();
    print();
  }

  line({ leg, direction, method, statusCode, reason, callId }) {
    const what = statusCode ? `${statusCode} ${reason} (${method})` : method;
    const arrow = direction === 'in' ? `leg ${leg} -> app` : `leg ${leg} <- app`;
    return `${arrow}  ${what.padEnd(30)} ${dim(callId)}`;
  }

  printLive() {
    const { mks, session: data } = this.last || {};
    print(`   req.session    ${JSON.stringify(data)}`);
    print(`   req.mks.keys   ${(mks && mks.keys.join('  ')) || 'none'}`);
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

async function play(store) {
  const app = host();
  const narrator = new Narrator(app, store);
  b2bua(app, session, store);
  // The README's application, and one more handler: digits that either party presses.
  app.info((req, res) => {
    req.session.digits = (req.session.digits || '') + req.body;
    res.send(200);
  });

  let call;
  let legB;
  const legBInvited = new Promise((resolve) => {
    app.peer.onInvite(resolve);
  });
  await narrator.step('Leg A calls. The application calls leg B with the same session; B rings', async () => {
    call = app.peer.invite({ callId: `${Date.now().toString(36)}@a.example`, body: 'v=0 (caller)' });
    legB = await legBInvited;
    await legB.respond(180);
  });
  await narrator.step('Leg B answers: both Call-IDs lead to one session, saved before A gets its 200', async () => {
    legB.respond(200, { body: 'v=0 (callee)' });
    await call.final();
    await legB.received('ACK');
  });
  await narrator.step('Leg A acknowledges: loaded, unchanged, so nothing is written', () => call.ack());
  await narrator.step('Leg B presses 4: its INFO finds the session by the other Call-ID', () =>
    legB.request('INFO', { body: '4' })
  );
  await narrator.step('Leg A presses 2: it sees what leg B has left', () => call.request('INFO', { body: '2' }));
  await narrator.step(
    'Leg B hangs up, the application hangs up leg A: the last key takes the session along',
    async () => {
      await legB.bye();
      await (
        await call.received('BYE')
      ).answered;
    }
  );
  await narrator.step('A second call, but B is busy: there is no dialog, so nothing is kept', async () => {
    app.peer.onInvite((uac) => uac.respond(486));
    await app.peer.invite().final();
  });
  if (narrator.failures) throw new Error(`${narrator.failures} handler(s) threw, see above`);
}

async function main(args) {
  process.exitCode = 1; // until the end is reached: a promise that nothing settles ends the process quietly
  const useRedis = args.includes('--redis');
  if (args.some((arg) => arg !== '--redis')) throw new Error('usage: node examples/demo.js [--redis]');

  const redis = useRedis ? await RedisServer.start() : undefined;
  let store;
  try {
    store = useRedis ? new session.RedisStore({ host: '127.0.0.1', port: redis.port }) : new session.MemoryStore();
    const where = useRedis
      ? `RedisStore (redis-server ${redis.process.pid} on 127.0.0.1:${redis.port})`
      : 'MemoryStore';
    print(`\nA call through examples/b2bua.js with ${bold(where)}\n`);
    await store.length(); // connected: the first step's time is its own
    await play(store);
    const left = await store.length();
    if (left !== 0) throw new Error(`${left} session(s) left in the store after the last BYE, there should be none`);
    print(`${green('Nothing is left')}: store.length() is 0.\n`);
  } finally {
    if (store) await store.close();
    if (redis) await redis.stop();
  }

  print('What happened: every request of either leg found the data of its call as req.session, by its Call-ID.');
  print('The application never loaded or saved: changes were stored before each final response left,');
  print('a request that changed nothing wrote nothing, and the BYE of the last leg removed the session.');
  print('Times are of whole steps (all messages, both legs, the handlers), the first ones on cold code.\n');
  print(`Next: node examples/demo.js${useRedis ? '' : ' --redis'}   the same ${useRedis ? 'in memory' : 'in a Redis'}`);
  print(
    '      examples/b2bua.js, examples/uas.js   the applications; examples/classic-host.js   what plays the network'
  );
  print('      npm test');
  process.exitCode = 0;
}

process.stdout.once('error', () => process.exit(1)); // a pipe that was closed: | head
main(process.argv.slice(2)).catch((err) => {
  console.error(red(err.message));
  if (process.env.DEBUG) console.error(err.stack);
  process.exitCode = 1;
});
