'use strict';
// One cold start: from before the first require until a first session is stored. Prints the ms; started by
// measures/cold-start.js: node cold.js <peer> <port of Redis, or 0>

const begun = performance.now();
const { Host } = require('./host');
const families = { redis: './peers/module', memory: './peers/module', express: './peers/express' };

const [id, port] = process.argv.slice(2);
const family = id.startsWith('classic') ? './peers/classic' : families[id.split('-')[0]];

async function main() {
  const peer = await require(family)[id].open({ port: Number(port) }, new Host());
  await new Promise((resolve, reject) => {
    peer.put('first', { user: 'jack' }, (err) => (err ? reject(err) : resolve()));
  });
  console.log(performance.now() - begun);
  process.exit();
}

main();
