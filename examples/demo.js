// A call through a B2BUA, step by step: what is said on both legs, and what the session holds after each step.
// Nothing has to be installed: the SIP peers are scripted. `node examples/demo.js [--redis]`
'use strict';

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');

const session = require('..');
const b2bua = require('./b2bua');
const host = require('./classic-host');

const STEP_TIMEOUT = 5000; // ms
const colours = process.stdout.isTTY && !process.env.NO_COLOR;
const paint = (code) => (text) => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, dim, green, red] = [paint(1), paint(2), paint(32), paint(31)];
const print = (text = '') => console.log(text);
const duration = (ms) => (ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toFixed(2)} ms`);

// A Redis of our own: on a free port of the loopback interface, in a temporary directory, without persistence.
async function startRedis() {
  const listener = net.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  await once(listener.close(), 'close');

  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'drachtio-session-demo-'));
  const options = { port, bind: '127.0.0.1', save: '', appendonly: 'no', dir };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let log = '';
  let failure;
  let up = false;
  server.stdout.on('data', (text) => (log = (log + text).slice(-2000)));
  const ended = new Promise((resolve) => {
    server.once('exit', resolve);
    server.once('error', (err) => resolve((failure = err)));
  });
  const running = () => !failure && server.exitCode === null && server.signalCode === null;
  const clear = () => fs.rmSync(dir, { recursive: true, force: true });
  const stop = async () => {
    if (running()) process.kill(server.pid, 'SIGTERM');
    await ended;
    clear();
  };

  // Whatever ends us, ends it.
  process.once('exit', () => {
    if (running()) process.kill(server.pid, 'SIGKILL');
    clear();
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
  for (let attempt = 0; attempt < 100 && running() && !up; attempt++) {
    up = await answers(port);
    if (!up) await sleep(50);
  }
  if (up && running()) return { port, pid: server.pid, stop };
  await stop();
  if (failure && failure.code === 'ENOENT') {
    throw new Error(
      'redis-server was not found. Install it and try again:\n' +
        '  Debian, Ubuntu   sudo apt-get install redis-server\n' +
        '  Fedora, RHEL     sudo dnf install redis (or valkey, with its redis-server command)\n' +
        '  macOS            brew install redis\n' +
        'or run the demo without --redis.'
    );
  }
  throw new Error(`redis-server did not start on port ${port}: ${failure ? failure.message : log}`);
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' }, () => socket.write('PING\r\n'));
    socket.once('data', (reply) => resolve(String(reply).startsWith('+PONG')) || socket.destroy());
    socket.once('error', () => resolve(false));
  });
}

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

  const redis = useRedis ? await startRedis() : undefined;
  let store;
  try {
    store = useRedis ? new session.RedisStore({ host: '127.0.0.1', port: redis.port }) : new session.MemoryStore();
    const where = useRedis ? `RedisStore (redis-server ${redis.pid} on 127.0.0.1:${redis.port})` : 'MemoryStore';
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
