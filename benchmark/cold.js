'use strict';
// One cold start, from the first require to the first stored session. Prints the ms. measures/cold-start.js starts it:
// node cold.js <peer> <port of Redis, or 0> <folder of the build>

const begun = performance.now();
const { Host } = require('./host');
const families = { redis: './peers/module', memory: './peers/module', express: './peers/express' };

const [id, port, root] = process.argv.slice(2);
const family = id.startsWith('classic') ? './peers/classic' : families[id.split('-')[0]];

async function main() {
  const peer = await require(family)[id].open({ port: Number(port), root }, new Host());
  await new Promise((resolve, reject) => {
    peer.put('first', { user: 'jack' }, (err) => (err ? reject(err) : resolve()));
  });
  console.log(performance.now() - begun);
  process.exit();
}

main();
