'use strict';
// Thousands of calls through two processes, half of which have a Call-ID that collides with another's: each step of each call
// has its own data, and nothing is left.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const { collide } = require('../support/srf/collisions');
const { releases } = require('../support/srf/bench');
const { startRedis } = require('../support/sessions');
const { sizesOf } = require('../support/sizes');
const { until } = require('../support/waiting');

const { COLLIDING_CALLS } = sizesOf('srf/collisions');
const TOTAL = { 5: COLLIDING_CALLS, 4: COLLIDING_CALLS / 5 };
const AT_ONCE = 30;

describe('calls of two processes, of which half collide', () => {
  for (const { name, major } of releases) {
    const release = major === 4 ? 'drachtio-srf-4' : 'drachtio-srf';
    it(`${name}: ${TOTAL[major]} calls have their own data, and leave nothing`, { timeout: 500000 }, async (t) => {
      const redis = await startRedis(t);
      const { host, port } = redis;
      const { wrong, count } = await collide(release, { host, port }, { total: TOTAL[major], atOnce: AT_ONCE });
      assert.ok(count >= TOTAL[major]);
      assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} faults`);
      await until(async () => (await redis.names()).length === 0, 'nothing to be left').catch(async () =>
        assert.deepEqual((await redis.names()).slice(0, 20), [], 'nothing is left')
      );
    });
  }
});
