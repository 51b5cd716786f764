'use strict';
// What the clients of a redis-server ask for, command by command: MONITOR, without what scripts do inside.

const net = require('node:net');

class Monitor {
  static async start(redis) {
    const monitor = new Monitor();
    Object.assign(monitor, { redis, lines: [], text: '', marks: 0, waiting: null });
    monitor.socket = net.connect(redis.port, redis.host);
    monitor.socket.on('data', (data) => monitor.read(String(data)));
    monitor.socket.write('MONITOR\r\n');
    await monitor.until(() => monitor.lines.includes('+OK'));
    await monitor.take();
    return monitor;
  }

  read(text) {
    const lines = (this.text + text).split('\r\n');
    this.text = lines.pop();
    this.lines.push(...lines);
    this.waiting?.();
  }

  async until(condition) {
    while (!condition()) {
      await new Promise((resolve) => {
        this.waiting = resolve;
      });
    }
  }

  // The commands since the last call, as arrays of their words, upper case the first.
  async take() {
    const mark = `mark ${++this.marks} of ${process.pid}`;
    const marked = () => this.lines.findIndex((line) => line.includes(mark));
    await this.redis.raw(`ECHO "${mark}"`);
    await this.until(() => marked() !== -1);
    const lines = this.lines.splice(0, marked() + 1).slice(0, -1);
    return lines
      .filter((line) => /^\+\d/.test(line) && !line.includes(' lua] '))
      .map((line) => [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map((match) => match[1]))
      .map(([command, ...rest]) => [command.toUpperCase(), ...rest]);
  }

  async verbs() {
    return (await this.take()).map(([verb]) => verb);
  }

  stop() {
    this.socket.destroy();
  }
}

module.exports = { Monitor };
