'use strict';
// Cold start: from require to the first stored session, each round in a new process.

const path = require('node:path');
const { execFile } = require('node:child_process');
const { promisify } = require('node:util');
const { inRounds } = require('../rounds');
const { THIS_BUILD } = require('../builds');
const { onMeasured } = require('../pinning');

const exec = promisify(execFile);
const program = path.join(__dirname, '..', 'cold.js');

// -> {id: [ms of each round]}
function measureColdStart(server, plan, say) {
  say('cold start');
  const peers = plan.coldStart.ids.map((id) => ({ id }));
  return inRounds(peers, plan.coldStart.rounds, async ({ id }) => {
    const [command, args] = onMeasured(process.execPath, [program, id, String(server.port), THIS_BUILD]);
    const { stdout } = await exec(command, args);
    await server.raw('FLUSHALL');
    return Number(stdout);
  });
}

module.exports = measureColdStart;
