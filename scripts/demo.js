'use strict';
// npm run demo [-- --redis]: sets up what is missing, then runs examples/demo.js with the same arguments.

const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { main, root, setup } = require('./setup');
const { requireRedisServer } = require('./redis-server');

main(() => {
  const args = process.argv.slice(2);
  setup();
  if (args.includes('--redis')) requireRedisServer();
  const { status } = spawnSync(process.execPath, [path.join(root, 'examples', 'demo.js'), ...args], {
    stdio: 'inherit'
  });
  process.exitCode = status ?? 1;
});
