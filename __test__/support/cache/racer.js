'use strict';
// A process with a near cache that reads and writes sessions which others read and write at the same time, and checks
// each read: what it has seen of another's counter, or has stored of its own, it must never see older again.
//
// A racer has several tasks, and each of them a property `<racer>.<task>` in each session that no other task writes: a
// counter that goes up. `count` is everybody's, by update(), and `guard` by save({ifUnchanged: true}).

const { fork } = require('node:child_process');
const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const session = require('../../..');
const { message } = require('../message');
const { random } = require('../random');

const { RedisStore, Session } = session;

const TASKS = 4;
const keysOf = (number) => [`call-${number}-a`, `call-${number}-b`];

class Racer {
  constructor({ name, port, seed, sessions }) {
    Object.assign(this, { name, sessions, wrong: [], reads: 0, writes: 0, conflicts: 0 });
    this.store = new RedisStore({ port, poolSize: 2 });
    this.store.on('error', (err) => this.wrong.push(`${name}: ${err.code}, ${err.message}`));
    this.attach = session({ store: this.store });
    this.pick = random(seed);
    // by session: what has been seen of the counters of others, and stored of one's own
    this.floors = Array.from({ length: sessions }, () => ({}));
    // how often the shared counters were raised
    this.raised = Array.from({ length: sessions }, () => ({ count: 0, guard: 0 }));
  }

  async race({ operations }) {
    let left = operations;
    const task = async (number) => {
      const held = new Map();
      while (left-- > 0 && this.wrong.length < 5) await this.step(number, held);
    };
    await Promise.all(Array.from({ length: TASKS }, (_, number) => task(number)));
    const { reads, writes, conflicts, wrong, raised, floors } = this;
    return { reads, writes, conflicts, wrong, raised, floors, cache: this.store.stats().cache };
  }

  async step(task, held) {
    const number = this.pick(this.sessions);
    const chance = this.pick(100);
    try {
      if (chance < 50) await this.read(number);
      else if (chance < 65) await this.write(number, task, await this.read(number));
      else if (chance < 75) {
        // an object that this task has had for a while, as a timer has
        if (!held.has(number)) held.set(number, await this.read(number));
        await this.write(number, task, held.get(number));
      } else if (chance < 85) await this.update(number);
      // A change that is refused stays in the data object: not where requests share it, and would save it.
      else if (number % 2 === 0) await this.request(number, task);
      else await this.guard(number);
    } catch (err) {
      this.wrong.push(`${this.name}, session ${number}: ${err.stack}`);
    }
  }

  // What is known when a read begins is what it must not fall behind.
  expecting(number) {
    const known = this.floors[number];
    const floor = Object.entries(known);
    return (data) => {
      this.reads++;
      for (const [name, least] of floor) {
        if (data[name] >= least) continue;
        this.wrong.push(`${this.name}, session ${number}: ${name} is ${data[name]}, and has been ${least} before`);
      }
      for (const [name, value] of Object.entries(data)) {
        // one's own may be of another task, and not stored yet
        if (!name.startsWith(`${this.name}.`)) known[name] = Math.max(known[name] || 0, value);
      }
    };
  }

  anyKey(number) {
    return keysOf(number)[this.pick(2)];
  }

  async read(number) {
    const check = this.expecting(number);
    const mks = await Session.loadFromStorage({ store: this.store }, this.anyKey(number));
    if (!mks) throw new Error('it is not found');
    check(mks.session);
    return mks;
  }

  // Raises the task's own counter in `data`; stored() when that was acknowledged.
  raise(number, task, data) {
    const name = `${this.name}.${task}`;
    const value = (this.floors[number][name] || 0) + 1;
    data[name] = value;
    return () => {
      this.writes++;
      this.floors[number][name] = value;
    };
  }

  async write(number, task, mks) {
    const stored = this.raise(number, task, mks.session);
    await mks.save();
    stored();
  }

  // an INFO; others that come to this process meanwhile have the same data object
  async request(number, task) {
    const { req, res, left } = message('INFO', this.anyKey(number), true);
    const check = this.expecting(number);
    await new Promise((resolve) => {
      this.attach(req, res, resolve);
    });
    check(req.session);
    if (this.pick(2) === 0) await sleep(this.pick(3));
    const stored = this.raise(number, task, req.session);
    res.send(200);
    await left;
    stored();
  }

  async update(number) {
    const mks = await this.read(number);
    await mks.update((data) => void (data.count = (data.count || 0) + 1));
    this.writes++;
    this.raised[number].count++;
  }

  async guard(number) {
    const mks = await this.read(number);
    mks.session.guard = (mks.session.guard || 0) + 1;
    try {
      await mks.save({ ifUnchanged: true });
      this.writes++;
      this.raised[number].guard++;
    } catch (err) {
      if (err.code !== 'ERR_SESSION_CONFLICT') throw err;
      this.conflicts++;
    }
  }

  // What this process finds by each key, when everything is quiet: mostly in its cache.
  async look() {
    const all = Array.from({ length: this.sessions }, (_, number) => keysOf(number)).flat();
    const found = await Promise.all(all.map((key) => Session.loadFromStorage({ store: this.store }, key)));
    return found.map((mks) => ({ ...mks.session }));
  }

  close() {
    return this.store.close();
  }
}

// A racer in a process of its own: do(name, argument) is that method of it.
class RemoteRacer {
  constructor(settings) {
    this.child = fork(__filename, [JSON.stringify(settings)], { env: { ...process.env, NODE_TEST_CONTEXT: '' } });
    this.ended = once(this.child, 'exit');
  }

  async do(method, argument = {}) {
    this.child.send({ method, argument });
    const [answer] = await Promise.race([once(this.child, 'message'), this.ended]);
    if (answer === null || typeof answer !== 'object') throw new Error(`the process has ended with ${answer}`);
    return answer.given;
  }

  kill() {
    this.child.kill('SIGKILL');
  }

  // ends by itself when the channel to it is closed
  async end() {
    await this.do('close');
    this.child.disconnect();
    const [code] = await this.ended;
    return code;
  }
}

if (require.main === module) {
  const racer = new Racer(JSON.parse(process.argv[2]));
  process.on('message', async ({ method, argument }) => {
    const given = await racer[method](argument);
    process.send({ given: given ?? null });
  });
}

module.exports = { RemoteRacer, TASKS, keysOf };
