'use strict';
// Medians, spreads and percentiles; ratios of what was measured in the same round.

const sorted = (values) => Float64Array.from(values).toSorted();

// of values in order, by the nearest rank
function percentile(inOrder, share) {
  return inOrder[Math.max(0, Math.ceil((inOrder.length * share) / 100) - 1)];
}

function median(values) {
  const inOrder = sorted(values);
  const middle = inOrder.length >> 1;
  return inOrder.length % 2 ? inOrder[middle] : (inOrder[middle - 1] + inOrder[middle]) / 2;
}

// {median, low, high} of the values; undefined where there are none
function spread(values) {
  const known = values.filter(Number.isFinite);
  if (known.length === 0) return undefined;
  return { median: median(known), low: Math.min(...known), high: Math.max(...known) };
}

// The ratio of two lists of rounds, round by round, so that a slow moment of the machine affects both.
function ratio(above, below) {
  return spread(above.map((value, round) => value / below[round]));
}

// The probability of at least `count` heads in `tosses` tosses of a coin.
function tail(tosses, count) {
  let ways = 1;
  let sum = 0;
  for (let heads = tosses; heads >= count; heads--) {
    sum += ways;
    ways = (ways * heads) / (tosses - heads + 1);
  }
  return sum / 2 ** tosses;
}

module.exports = { median, percentile, ratio, sorted, spread, tail };
