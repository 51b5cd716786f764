'use strict';
// Thousands of B2BUA calls on drachtio-srf with Redis, many at once: every handler sees its own session, nothing is left.

const assert = require('node:assert/strict');
const { describe, it } = require('node:test');
const session = require('../..');
const { load } = require('../support/srf/load');
const { releases } = require('../support/srf/bench');
const { connect, startRedis } = require('../support/sessions');
const { sizesOf } = require('../support/sizes');
const { until } = require('../support/waiting');

// ms; deadlines are not what this is about
const TIMEOUT = 20000;
const { B2BUA_CALLS } = sizesOf('srf/load');
const COUNT = { 5: B2BUA_CALLS, 4: B2BUA_CALLS / 5 };

describe('B2BUA calls, 50 at once, ended by each leg and by both, some canceled, some rejected', () => {
  for (const { name, major, Srf } of releases) {
    it(`${name}: ${COUNT[major]} calls: DBSIZE is 0`, { timeout: 300000 }, async (t) => {
      const redis = await startRedis(t);
      const store = connect(t, { host: redis.host, port: redis.port, commandTimeout: TIMEOUT });
      const srf = new Srf();
      srf.use(session({ store, app: srf, timeout: TIMEOUT }));
      const { wrong, stop } = await load(srf, { count: COUNT[major], atOnce: 50 });
      t.after(stop);
      assert.deepEqual(wrong.slice(0, 10), []);
      await until(async () => (await redis.size()) === 0, 'DBSIZE 0');
      assert.deepEqual(store.errors, []);
    });
  }
});
