'use strict';
// Figures as text, and tables of them in Markdown.

const { spread } = require('./statistics');

// three significant digits, no exponent
function figure(value) {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString('en-US', { maximumFractionDigits: Math.min(digits, 3) });
}

const range = ({ median, low, high }) => `${figure(median)} (${figure(low)}–${figure(high)})`;

// the median and the spread of `read(round)` over the rounds
const medianOf = (rounds, read) => {
  const values = rounds && spread(rounds.map(read));
  return values ? range(values) : '–';
};

const line = (cells) => `| ${cells.join(' | ')} |`;

function table(head, rows) {
  return [line(head), `|${head.map((_, i) => (i ? '--:|' : '---|')).join('')}`, ...rows.map(line)].join('\n');
}

module.exports = { figure, medianOf, range, table };
