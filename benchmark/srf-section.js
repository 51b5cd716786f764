'use strict';
// The section of the page on applications on drachtio-srf.

const { over } = require('./figures');
const peers = require('./peers');
const { figure, medianOf, table } = require('./tables');
const { median } = require('./statistics');

const KINDS = {
  UasCall: 'INVITE, ACK, BYE (`createUAS`)',
  B2buaCall: 'B2BUA: two legs (`createB2BUA`)'
};
const micros = 'µs';
const same = (value) => value;

// what a call costs with each peer, and how much more that is than with the Map and without data
function costs(found) {
  const map = found['srf-map'];
  const rows = Object.entries(found).map(([id, rounds]) => {
    const more = over(found, id, 'srf-map', 'mainCpu');
    return [
      peers[id].title,
      medianOf(rounds, (one) => one.mainCpu),
      medianOf(more, same),
      more ? `${figure(median(more.map((value, round) => (value / map[round].mainCpu) * 100)))}` : '–',
      medianOf(over(found, id, 'srf-alone', 'mainCpu'), same),
      medianOf(rounds, (one) => one.collections),
      medianOf(over(found, id, 'srf-alone', 'collections'), same),
      medianOf(rounds, (one) => one.processCpu)
    ];
  });
  const head = [
    'per call',
    `main thread, ${micros}`,
    `more than the \`Map\`, ${micros}`,
    'more than the `Map`, %',
    `more than alone, ${micros}`,
    `garbage collections, ${micros}`,
    `more than alone, ${micros}`,
    `process, ${micros}`
  ];
  return table(head, rows);
}

const tables = ({ srf }) =>
  srf.map(({ kind, atOnce, peers: found }) => `${KINDS[kind]}; ${atOnce} at once:\n\n${costs(found)}`).join('\n\n');

module.exports = { tables };
