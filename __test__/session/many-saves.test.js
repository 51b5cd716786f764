'use strict';
// Thousands of saves of random data: not one is lost. (The 16-bit checksum of the classic module lost one in 65,536.)

const assert = require('node:assert/strict');
const test = require('node:test');
const { Session } = require('../..');
const { random } = require('../support/random');
const { load, openStore } = require('../support/sessions');
const { sizesOf } = require('../support/sizes');
const { confusesEscapedNames } = require('../support/v8');

const { SAVES } = sizesOf('session/many-saves');
const SEED = Number(process.env.SEED) || Date.now() & 0x7fffffff;

const LETTERS = ['a', 'b', 'z', '0', ' ', '"', '\\', '\n', 'é', '😀', '\u0000', '\ud800'];
const LETTERS_OF_NAMES = confusesEscapedNames() ? LETTERS.filter((letter) => letter !== '\\') : LETTERS;

// Random data, mostly small, and small changes to it.
class Data {
  constructor(seed) {
    this.random = random(seed);
  }
  text(letters = LETTERS) {
    return Array.from({ length: this.random(8) }, () => letters[this.random(letters.length)]).join('');
  }
  value(depth = 0) {
    switch (this.random(depth > 2 ? 6 : 9)) {
      case 0:
        return this.random(3);
      case 1:
        return this.random(1000000) / 7 - 5000;
      case 2:
        return this.text();
      case 3:
        return this.random(2) === 0;
      case 4:
        return null;
      case 5:
        return new Date(this.random(1e9));
      case 6:
        return Array.from({ length: this.random(4) }, () => this.value(depth + 1));
      default:
        return Object.fromEntries(
          Array.from({ length: this.random(4) }, () => [this.text(LETTERS_OF_NAMES), this.value(depth + 1)])
        );
    }
  }
  // as little as one letter of one property may change, or nothing
  change(session) {
    for (let changes = this.random(3); changes >= 0; changes--) {
      const name = `p${this.random(12)}`;
      switch (this.random(8)) {
        case 0:
          delete session[name];
          break;
        case 1:
          session.count = (session.count || 0) + 1;
          break;
        case 2:
          if (Array.isArray(session[name])) session[name].push(this.value(2));
          break;
        case 3:
          if (typeof session[name] === 'string') session[name] += LETTERS[this.random(LETTERS.length)];
          break;
        default:
          session[name] = this.value();
      }
    }
  }
}

// One session's share of the saves: after each, a fresh load has what was saved.
async function share(store, name, saves, seed) {
  const data = new Data(seed);
  let mks = new Session({ store });
  mks.set(name);
  for (let i = 0; i < saves; i++) {
    data.change(mks.session);
    const expected = { ...mks.session };
    await mks.save();
    const found = await load(store, name);
    const what = `save ${i} of ${name} was lost; SEED=${SEED}`;
    assert.notEqual(found, mks, 'a fresh one');
    assert.deepEqual({ ...found.session }, expected, what);
    // now and then go on with what was loaded, as another process would
    if (data.random(4) === 0) mks = found;
  }
  await mks.destroy();
}

for (const [kind, sessions] of Object.entries({ memory: 10, redis: 500 })) {
  test(`${SAVES} saves, each loaded again (${kind})`, async (t) => {
    const store = await openStore(t, kind);
    const shares = Array.from({ length: sessions }, (_, i) => share(store, `call-${i}`, SAVES / sessions, SEED + i));
    await Promise.all(shares);
    assert.equal(await store.length(), 0, `SEED=${SEED}`);
  });
}

test('saves that are asked for without waiting: the last one counts, and none fails', async (t) => {
  for (const kind of ['memory', 'redis']) {
    const store = await openStore(t, kind);
    const data = new Data(SEED);
    const mks = new Session({ store });
    mks.set('call');
    for (let batch = 0; batch < 200; batch++) {
      const saves = [];
      for (let i = 0; i <= data.random(20); i++) {
        data.change(mks.session);
        saves.push(mks.save());
      }
      await Promise.all(saves);
      assert.deepEqual({ ...(await load(store, 'call')).session }, { ...mks.session }, `${kind}, SEED=${SEED}`);
    }
  }
});
