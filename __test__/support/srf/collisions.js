'use strict';
// Many calls through two processes on one scripted server and one Redis. Half of their Call-IDs collide, in each of the ways
// that the field knows. Each step of a call is checked: the data that its handler had, and that they are its Dialog's.

const path = require('node:path');
const { EventEmitter, once } = require('node:events');
const { fork } = require('node:child_process');
const { isDeepStrictEqual } = require('node:util');
const { DrachtioServer } = require('../../../examples/drachtio-server');
const { within } = require('../waiting');
const { CREDENTIALS } = require('./parties');

const APPLICATION = path.join(__dirname, 'collision-application.js');
const METHODS = ['invite', 'ack', 'info', 'bye'];

class Collisions {
  constructor(server) {
    this.server = server;
    this.told = new EventEmitter().setMaxListeners(0); // what the applications say: `up <owner>`, `ended <owner>`
    this.callees = new EventEmitter().setMaxListeners(0); // by number
    this.wrong = [];
    this.count = 0; // of calls
    this.children = [];
    server.setMaxListeners(0);
    server.on('callee', (callee) => this.callees.emit(callee.user, callee));
  }

  async startApplication(release, redis) {
    const options = JSON.stringify({ connectOptions: this.server.connectOptions, redis });
    const child = fork(APPLICATION, [release, options], { env: { ...process.env, NODE_TEST_CONTEXT: '' } });
    child.on('message', ({ up, ended }) => {
      if (up) this.told.emit(`up ${up}`);
      if (ended) this.told.emit(`ended ${ended}`);
    });
    child.on('exit', (code) => code && this.wrong.push(`an application ended with ${code}`));
    this.children.push(child);
    await this.server.routed(METHODS, this.children.length);
  }

  async stop() {
    for (const child of this.children) {
      if (child.exitCode !== null) continue;
      const gone = once(child, 'exit');
      child.on('message', ({ wrong = [] }) => this.wrong.push(...wrong));
      child.send('end');
      await gone;
    }
  }

  expect(what, call, got, wanted) {
    if (isDeepStrictEqual(got, wanted)) return;
    this.wrong.push(`${what} of ${call.user} (${call.callId}): ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
  }

  // ---- calls

  // A new Call-ID and tags.
  ids() {
    const number = this.count;
    return { callId: `${number}@collisions.example`, tag: `T${number}` };
  }

  dial(to, opts) {
    return this.server.call({ from: `c${this.count++}`, to, ack: false, ...opts });
  }

  // A call that is answered, and has been checked once. `found`: what its session must begin with.
  async up(to, opts, { found = {}, ack = true } = {}) {
    const from = `c${this.count++}`;
    const up = once(this.told, `up ${from}`);
    const callee = once(this.callees, from);
    const call = this.server.call({ from, to, ack: false, ...opts });
    const { status } = await call.final;
    this.expect('INVITE', call, status, 200);
    await up;
    call.data = { owner: from, found, same: true };
    if (ack) call.ack(undefined, call.transaction.id);
    if (to === 'b2bua' || to === 'kept') [call.callee] = await callee;
    await this.check(call);
    return call;
  }

  // The handler of an INFO has the data of this call.
  async check(call, leg = call) {
    const { status, body } = await leg.info('1');
    this.expect('INFO', call, status === 200 ? JSON.parse(body) : status, call.data);
  }

  async bye(call, leg = call) {
    const ended = once(this.told, `ended ${call.user}`);
    const { status } = await leg.bye();
    this.expect('BYE', call, status, 200);
    await ended;
  }

  // ---- units of some calls

  async ordinary(number) {
    const call = await this.up(['uas', 'plain', 'b2bua'][number % 3], this.ids());
    if (call.callee) {
      await this.check(call, call.callee);
      await this.bye(call, call.callee);
    }
    await this.bye(call);
  }

  // Two calls at once: the same Call-ID, another tag.
  async pair(number) {
    const { callId } = this.ids();
    const to = number % 2 === 0 ? ['uas', 'uas'] : ['plain', 'uas'];
    const calls = await Promise.all(to.map((one, i) => this.up(one, { callId, tag: `T${i}` })));
    const [first, second] = number % 4 < 2 ? calls : calls.toReversed();
    await Promise.all([this.check(first), this.check(second)]);
    await this.bye(first);
    await this.check(second);
    await this.bye(second);
  }

  // Serial forking: the same Call-ID and tag, right after a CANCEL.
  async afterCancel() {
    const ids = this.ids();
    const canceled = this.dial('ring', ids);
    await canceled.response(180);
    const final = canceled.cancel();
    const call = await this.up('uas', ids);
    this.expect('CANCEL', canceled, (await final).status, 487);
    await this.check(call);
    await this.bye(call);
  }

  // Parallel forking: two devices ring, the third answers.
  async forks() {
    const ids = this.ids();
    const ringing = [this.dial('ring', ids), this.dial('ring', ids)];
    await Promise.all(ringing.map((one) => one.response(180)));
    const call = await this.up('uas', ids);
    await Promise.all(ringing.map((one) => one.cancel()));
    await this.check(call);
    await this.bye(call);
  }

  // A challenge, and the retry with the same tag or another.
  async challenge(number) {
    const ids = this.ids();
    const from = `c${this.count}`;
    const challenged = this.dial('challenge', ids);
    this.expect('INVITE', challenged, (await challenged.final).status, 407);
    const tag = number % 2 === 0 ? ids.tag : `${ids.tag}again`;
    const found = { owner: from, found: {}, challenged: true };
    const up = once(this.told, `up ${from}`);
    const call = this.server.call({ ...ids, from, tag, to: 'challenge', ack: false, headers: CREDENTIALS });
    this.count++;
    this.expect('retry', call, (await call.final).status, 200);
    await up;
    call.ack(undefined, call.transaction.id);
    call.data = { owner: from, found, challenged: true, same: true };
    await this.check(call);
    await this.bye(call);
  }

  // Credentials on a first INVITE, while another call with its Call-ID is up.
  async credentials() {
    const { callId } = this.ids();
    const first = await this.up('uas', { callId, tag: 'T1' });
    const second = await this.up('challenge', { callId, tag: 'T2', headers: CREDENTIALS });
    await this.check(first);
    await this.bye(first);
    await this.check(second);
    await this.bye(second);
  }

  // A B2BUA whose legs have one Call-ID; one leg ends by itself, or by its session timer.
  async kept(number) {
    const call = await this.up('kept', this.ids());
    const legs = number % 2 === 0 ? [call, call.callee] : [call.callee, call];
    await this.check(call, call.callee);
    if (number % 3 === 0) {
      const ended = once(this.told, `ended ${call.user}`);
      legs[0].sessionTimeout();
      await ended;
    } else await this.bye(call, legs[0]);
    await this.check(call, legs[1]);
    await this.bye(call, legs[1]);
  }

  // The server hangs up a call that sent no ACK, while another one with its Call-ID is up.
  async serverBye(number) {
    const { callId } = this.ids();
    const first = await this.up('uas', { callId, tag: 'T1' });
    const second = await this.up(number % 2 === 0 ? 'uas' : 'plain', { callId, tag: 'T2' }, { ack: false });
    const ended = once(this.told, `ended ${second.user}`);
    second.ackTimeout();
    await ended;
    await this.check(first);
    await this.bye(first);
  }

  // A call, and the next one with its Call-ID at once.
  async redial(number) {
    const ids = this.ids();
    await this.bye(await this.up('uas', ids));
    const tag = number % 2 === 0 ? ids.tag : `${ids.tag}again`;
    await this.bye(await this.up('plain', { ...ids, tag }));
  }

  unit(kind, number) {
    return within(this[kind](number), `the end of the calls '${kind}', number ${number}`);
  }

  // Plays so many calls, in so many lines at once.
  async play(total, atOnce) {
    const colliding = ['pair', 'afterCancel', 'forks', 'challenge', 'credentials', 'kept', 'serverBye', 'redial'];
    let [ordinary, units] = [0, 0];
    const line = async () => {
      while (this.count < total) {
        if (ordinary <= this.count / 2) await this.unit('ordinary', ordinary++);
        else {
          const number = units++;
          await this.unit(colliding[number % colliding.length], Math.floor(number / colliding.length));
        }
      }
    };
    await Promise.all(Array.from({ length: atOnce }, line));
  }
}

// Two applications on `release`, and `total` calls -> what was wrong, and how many calls there were.
async function collide(release, redis, { total, atOnce }) {
  const server = await DrachtioServer.start();
  const collisions = new Collisions(server);
  try {
    for (let count = 0; count < 2; count++) await collisions.startApplication(release, redis);
    await collisions.play(total, atOnce);
  } catch (err) {
    collisions.wrong.push(err.message);
  } finally {
    await collisions.stop();
    await server.stop();
  }
  return collisions;
}

module.exports = { collide };
