'use strict';
// Clients without sessions: set and get of one value with a TTL, each of which returns a promise. Their figures show what the
// boundary between JavaScript and Rust costs.

const TTL = 86400;

async function nodeRedis({ port }) {
  const { createClient } = require('redis');
  const client = createClient({ socket: { host: '127.0.0.1', port } });
  await client.connect();
  return {
    set: (key, text) => client.set(key, text, { EX: TTL }),
    get: (key) => client.get(key),
    close: () => client.close()
  };
}

const ioredis =
  (options) =>
  async ({ port }) => {
    const { Redis } = require('ioredis');
    const client = new Redis({ host: '127.0.0.1', port, ...options });
    await client.ping();
    return {
      set: (key, text) => client.set(key, text, 'EX', TTL),
      get: (key) => client.get(key),
      close: () => client.quit()
    };
  };

async function glide({ port }) {
  const { GlideClient, TimeUnit } = require('@valkey/valkey-glide');
  const client = await GlideClient.createClient({ addresses: [{ host: '127.0.0.1', port }] });
  const options = { expiry: { type: TimeUnit.Seconds, count: TTL } };
  return {
    set: (key, text) => client.set(key, text, options),
    get: (key) => client.get(key),
    close: () => client.close()
  };
}

// `values`: the store takes values and serialises them itself
const ours =
  (options) =>
  async ({ port, root }) => {
    const { RedisStore } = require(root);
    const store = new RedisStore({ host: '127.0.0.1', port, ttl: TTL, ...options });
    await store.get('connected');
    return {
      values: true,
      set: (key, value) => store.set(key, value),
      get: (key) => store.get(key),
      close: () => store.close()
    };
  };

module.exports = {
  'node-redis': { title: 'node-redis', redis: true, open: nodeRedis },
  ioredis: { title: 'ioredis', redis: true, open: ioredis({}) },
  'ioredis-pipelining': {
    title: 'ioredis, auto-pipelining',
    redis: true,
    open: ioredis({ enableAutoPipelining: true })
  },
  glide: { title: 'valkey-glide', redis: true, open: glide },
  'store-uncached': { title: 'our store, cache off', ours: true, redis: true, open: ours({ cache: false }) },
  store: { title: 'our store', ours: true, redis: true, open: ours({}) }
};
