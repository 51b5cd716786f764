'use strict';
// Random histories of several processes, with random faults, against the model of what is guaranteed (support/histories/model.js).
// Again, or longer: SEED=7 HISTORIES=1 (or 10000) REMOTE=3 node --test __test__/guarantees/histories.test.js

const assert = require('node:assert/strict');
const test = require('node:test');
const { DURABLE } = require('../support/faults/bench');
const { History } = require('../support/histories/history');
const { connect, startRedis } = require('../support/sessions');
const { sizesOf } = require('../support/sizes');

const SEED = Number(process.env.SEED || 1);
const { HISTORIES, REMOTE } = sizesOf('guarantees/histories');
const AT_ONCE = 6;

async function histories(t, seeds, remote) {
  const redis = await startRedis(t, ...DURABLE.slice(0, 2));
  const other = connect(t, { port: redis.port, cache: false });
  const queue = [...seeds];
  const failed = [];
  const one = async () => {
    while (queue.length > 0) {
      const history = new History({ seed: queue.shift(), redis, other, remote });
      const wrong = await history.run().catch((err) => [err.stack]);
      if (wrong.length > 0) failed.push([...wrong, history].join('\n'));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  t.diagnostic(`${failed.length} of ${seeds.length} histories are against the guarantees`);
  assert.equal(failed.length, 0, failed.slice(0, 3).join('\n\n'));
}

const seeds = (count) => Array.from({ length: count }, (_, i) => SEED + i);

test('histories of three stores in one process', (t) => histories(t, seeds(HISTORIES), false));
test('histories of three processes', (t) => histories(t, seeds(REMOTE), true));
