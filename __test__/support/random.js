'use strict';
// Numbers that look random and come again with the same seed (mulberry32).
function random(seed) {
  let state = seed >>> 0;
  return (below = 1) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    const fraction = ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    return below === 1 ? fraction : Math.floor(fraction * below);
  };
}

module.exports = { random };
