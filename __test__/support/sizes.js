'use strict';
// How much the tests do that can do any amount of it: [in npm test, in npm run test:long]; null: npm test leaves the file
// out. A variable of the environment with the name of a size goes before both, as in HISTORIES=10000.

const SIZES = {
  'cache/races': { RACES: [6000, 100000] },
  'faults/load': { SECONDS: [3, 60], CALLS: [300, 1000] },
  'guarantees/histories': { HISTORIES: [300, 4000], REMOTE: [20, 300] },
  'guarantees/writers': { WRITES: [4992, 100032] },
  'session/many-saves': { SAVES: [10000, 100000] },
  'session/patches': { PATCHES: [1000, 20000] },
  'srf/collisions': { COLLIDING_CALLS: [600, 20000] },
  'srf/heap': { HEAP_CALLS: [null, 20000] },
  'srf/load': { B2BUA_CALLS: [1000, 5000] }
};

const isLong = process.env.LONG === '1';

// The sizes of a file of tests, such as {RACES: 6000}.
function sizesOf(file) {
  const sizes = Object.entries(SIZES[file]);
  return Object.fromEntries(
    sizes.map(([name, [short, long]]) => [name, Number(process.env[name] || (!isLong && short) || long)])
  );
}

// The files of npm run test:long, and those of them that are left out of npm test.
const LONG_FILES = Object.keys(SIZES);
const ONLY_LONG_FILES = LONG_FILES.filter((file) => Object.values(SIZES[file]).some(([short]) => short === null));

module.exports = { LONG_FILES, ONLY_LONG_FILES, sizesOf };
