'use strict';
// drachtio-srf: after thousands of calls the heap is as big as after the first ones: no request, response or dialog is
// kept.

const assert = require('node:assert/strict');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { describe, it } = require('node:test');
const { promisify } = require('node:util');
const { sizesOf } = require('../support/sizes');

const { HEAP_CALLS } = sizesOf('srf/heap');
const WARM = 2000;
const TOTAL = { 'drachtio-srf': HEAP_CALLS, 'drachtio-srf-4': HEAP_CALLS / 2 };
// per call; a session that is kept has more than 1,000 bytes
const BYTES = 100;

describe('the heap of a drachtio-srf application', () => {
  for (const [release, total] of Object.entries(TOTAL)) {
    it(`${release}: flat over ${total} calls`, { timeout: 300000 }, async () => {
      const script = path.join(__dirname, '..', 'support', 'srf', 'heap.js');
      const env = { ...process.env, NODE_TEST_CONTEXT: '' };
      const args = ['--expose-gc', script, release, WARM, total].map(String);
      const { stdout } = await promisify(execFile)(process.execPath, args, { env });
      const { before, after, alive, left } = JSON.parse(stdout);
      assert.equal(left, 0);
      assert.ok(after - before < (total - WARM) * BYTES, `${after - before} bytes more after ${total - WARM} calls`);
      // what the last turns held may still be there
      for (const [what, count] of Object.entries(alive)) assert.ok(count <= 50, `${count} of ${what} are still there`);
    });
  }
});
