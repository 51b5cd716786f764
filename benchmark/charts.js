'use strict';
// The charts of the page, as SVG text drawn by ECharts.

const echarts = require('echarts');

const INK = '#333';
const WIDTH = 800;
// px for the names of peers: without a screen ECharts cannot measure a text
const LABELS = 240;
const COLOURS = ['#1668b8', '#6fb1e8', '#c9571a', '#eda36b', '#5b8c3e', '#8c6bb1'];
const BASE = {
  animation: false,
  backgroundColor: '#fff',
  color: COLOURS,
  textStyle: { fontFamily: 'Helvetica, Arial, sans-serif', color: INK }
};

function draw(options, height) {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  chart.setOption({ ...BASE, ...options });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return `${svg}\n`;
}

const heading = (text) => ({ text, left: 10, top: 8, textStyle: { fontSize: 15, color: INK } });

// One bar for each of [{name, value, text}], the first on top.
function bars(title, unit, entries) {
  const options = {
    title: heading(title),
    grid: { left: LABELS, right: 80, top: 45, bottom: 45 },
    xAxis: { type: 'value', name: unit, nameLocation: 'middle', nameGap: 26 },
    yAxis: { type: 'category', inverse: true, data: entries.map(({ name }) => name), axisTick: { show: false } },
    series: [
      {
        type: 'bar',
        barWidth: '60%',
        label: { show: true, position: 'right', formatter: ({ dataIndex }) => entries[dataIndex].text },
        data: entries.map(({ name, value }) => ({
          value,
          itemStyle: { color: name.startsWith('drachtio-session') ? COLOURS[0] : '#b9bec4' }
        }))
      }
    ]
  };
  return draw(options, 90 + entries.length * 34);
}

// One line for each of [{name, values}] over the same steps, on a logarithmic scale.
function lines(title, unit, xName, steps, series) {
  const options = {
    title: heading(title),
    legend: { orient: 'vertical', left: WIDTH - LABELS, top: 70, itemGap: 16, icon: 'roundRect' },
    grid: { left: 80, right: LABELS + 20, top: 70, bottom: 45 },
    xAxis: { type: 'category', name: xName, nameLocation: 'middle', nameGap: 26, data: steps.map(String) },
    yAxis: { type: 'log', name: unit },
    series: series.map(({ name, values }) => ({
      name,
      type: 'line',
      symbolSize: 8,
      lineStyle: { width: 2.5 },
      data: values
    }))
  };
  return draw(options, 400);
}

module.exports = { bars, lines };
