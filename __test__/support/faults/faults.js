'use strict';
// What can become of a Redis, each by its name: how it begins and how it is mended, with a RedisServer and the Proxy
// before it at hand. `loads`: whether a load succeeds meanwhile (absent: it may or may not), `saves` the same.

const HANDSHAKE = ['HELLO', 'CLIENT', 'AUTH', 'SELECT'];

const whole = (proxy, reply) => proxy.answerWith(([verb]) => (HANDSHAKE.includes(verb) ? undefined : reply));
const answering = (reply) => ({ begin: ({ proxy }) => whole(proxy, reply), loads: false, saves: false });

// each connection is lost when so many bytes have come back on it
function everyReply(proxy, bytes, end) {
  const sent = new WeakMap();
  proxy.change('toClient', (chunk, pair) => {
    const before = sent.get(pair) || 0;
    sent.set(pair, before + chunk.length);
    if (before + chunk.length < bytes) return chunk;
    setImmediate(() => pair[end]());
    return chunk.subarray(0, Math.max(0, bytes - before));
  });
}

// on the connections that are there and those to come
async function withPassword(redis, password) {
  await redis.cli('CONFIG', 'SET', 'requirepass', password);
  await redis.cli('--no-auth-warning', '-a', password, 'CLIENT', 'KILL', 'TYPE', 'normal');
}

const FAULTS = {
  refused: {
    async begin({ proxy }) {
      await proxy.refuse();
      proxy.reset();
    },
    loads: false,
    saves: false
  },
  dead: { begin: ({ redis }) => redis.kill(), mend: ({ redis }) => redis.run(), loads: false, saves: false },
  stopped: { begin: ({ redis }) => redis.pause(), mend: ({ redis }) => redis.resume(), loads: false, saves: false },
  hanging: { begin: ({ proxy }) => proxy.hang(), loads: false, saves: false },
  'hanging with what it answers': { begin: ({ proxy }) => proxy.hang('toClient'), loads: false, saves: false },
  slow: { begin: ({ proxy }) => proxy.delay(20), loads: true, saves: true },
  'slower than the deadline': {
    begin: ({ proxy, timeout }) => proxy.delay(2.5 * timeout),
    loads: false,
    saves: false
  },
  throttled: { begin: ({ proxy }) => proxy.throttle(20000), loads: true, saves: true },
  'reset in mid-reply, once': { begin: ({ proxy }) => void proxy.after(2, 'toClient', 'reset') },
  'cut in mid-command, once': { begin: ({ proxy }) => void proxy.after(30, 'toServer', 'cut') },
  'reset in each reply': { begin: ({ proxy }) => everyReply(proxy, 3, 'reset'), loads: false, saves: false },
  'cut after each reply': { begin: ({ proxy }) => everyReply(proxy, 400, 'cut') },
  garbage: { begin: ({ proxy }) => proxy.change('toClient', 'corrupt'), loads: false, saves: false },
  'not Redis at all': {
    begin: ({ proxy }) => proxy.change('toClient', () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')),
    loads: false,
    saves: false
  },
  'garbage in mid-reply, once': { begin: ({ proxy }) => void proxy.after(1, 'toClient', { corrupt: 8 }) },
  LOADING: answering('-LOADING Redis is loading the dataset in memory\r\n'),
  MASTERDOWN: answering("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"),
  MOVED: answering('-MOVED 3999 127.0.0.1:1\r\n'),
  CLUSTERDOWN: answering('-CLUSTERDOWN The cluster is down\r\n'),
  READONLY: {
    begin: ({ redis }) => redis.cli('REPLICAOF', '127.0.0.1', '1'),
    mend: ({ redis }) => redis.cli('REPLICAOF', 'NO', 'ONE'),
    loads: true,
    saves: false
  },
  OOM: {
    begin: ({ redis }) => redis.cli('CONFIG', 'SET', 'maxmemory', '1'),
    mend: ({ redis }) => redis.cli('CONFIG', 'SET', 'maxmemory', '0'),
    loads: true,
    saves: false
  },
  NOAUTH: {
    begin: ({ redis }) => withPassword(redis, 'secret'),
    mend: ({ redis }) => redis.cli('--no-auth-warning', '-a', 'secret', 'CONFIG', 'SET', 'requirepass', ''),
    loads: false,
    saves: false
  },
  NOPERM: {
    begin: ({ redis }) => redis.cli('ACL', 'SETUSER', 'default', '-evalsha', '-eval'),
    mend: ({ redis }) => redis.cli('ACL', 'SETUSER', 'default', '+@all'),
    loads: true,
    saves: false
  },
  BUSY: {
    async begin({ redis }) {
      await redis.cli('CONFIG', 'SET', 'busy-reply-threshold', '1');
      redis.cli('EVAL', 'while true do end', '0');
      while (!(await redis.raw('PING')).startsWith('-BUSY'));
    },
    async mend({ redis }) {
      await redis.cli('SCRIPT', 'KILL');
      while (!(await redis.raw('PING')).startsWith('+PONG'));
    },
    loads: false,
    saves: false
  },
  'scripts flushed': { begin: ({ redis }) => redis.cli('SCRIPT', 'FLUSH'), loads: true, saves: true },
  'scripts flushed again and again': {
    begin(bench) {
      bench.flushing = setInterval(() => bench.redis.raw('SCRIPT FLUSH').catch(() => undefined), 2);
    },
    mend: ({ flushing }) => clearInterval(flushing),
    loads: true,
    saves: true
  }
};

// A fault that has begun; mend() ends it.
async function begin(name, bench) {
  await FAULTS[name].begin(bench);
  return {
    async mend() {
      await FAULTS[name].mend?.(bench);
      await bench.proxy.mend();
    }
  };
}

module.exports = { FAULTS, begin };
