'use strict';
// The stores that the contract holds on: our two, and stores written in JavaScript as applications bring them.
//
// A kind has make(), which gives a store over one and the same content each time it is called, size(), which counts
// everything left in it, and close(). Kinds marked `ours` have ttl and the whole API; `redis` leads to the server; `cached` answer loads at once
// where they can.

const { EventEmitter } = require('node:events');
const { setImmediate } = require('node:timers/promises');
const session = require('../../..');

// A store as applications write them today: promises, no callbacks. What it is given it keeps as text.
class PromiseStore extends EventEmitter {
  constructor(entries = new Map()) {
    super();
    this.entries = entries;
  }

  async get(sid) {
    await setImmediate();
    const text = this.entries.get(sid);
    return text === undefined ? undefined : JSON.parse(text);
  }

  async set(sid, value) {
    await setImmediate();
    this.entries.set(sid, JSON.stringify(value));
  }

  async destroy(sid) {
    await setImmediate();
    this.entries.delete(sid);
  }
}

// Another process's view of a store that lives in this one: a store object of its own over the same entries.
class Sibling extends EventEmitter {
  constructor(store) {
    super();
    this.store = store;
  }

  get(sid, callback) {
    this.store.get(sid, callback);
  }

  set(sid, value, callback) {
    this.store.set(sid, value, callback);
  }

  destroy(sid, callback) {
    this.store.destroy(sid, callback);
  }
}

function nativeMemory() {
  const store = new session.MemoryStore();
  return { make: () => store, size: () => store.length(), close: () => store.close() };
}

const nativeRedis = (cache) => (redis) => {
  const stores = [];
  const make = () => {
    const store = new session.RedisStore({ host: redis.host, port: redis.port, cache });
    stores.push(store);
    return store;
  };
  const size = async () => (await redis.names()).length;
  return { make, size, close: () => Promise.all(stores.map((store) => store.close())) };
};

function expressMemory() {
  const { MemoryStore } = require('express-session');
  const store = new MemoryStore();
  let made = 0;
  const make = () => (made++ === 0 ? store : new Sibling(store));
  const size = () => Object.keys(store.sessions).length;
  return { make, size, close: () => undefined };
}

function connectRedis(redis) {
  const { RedisStore } = require('connect-redis');
  const { createClient } = require('redis');
  const client = createClient({ socket: { host: redis.host, port: redis.port } });
  const make = async () => {
    if (!client.isOpen) await client.connect();
    return new RedisStore({ client });
  };
  const close = async () => {
    if (client.isOpen) await client.close();
  };
  return { make, size: () => redis.size(), close };
}

function promises() {
  const entries = new Map();
  return { make: () => new PromiseStore(entries), size: () => entries.size, close: () => undefined };
}

const kinds = [
  { name: 'MemoryStore', open: nativeMemory, ours: true, processes: 1 },
  { name: 'RedisStore', open: nativeRedis(false), ours: true, redis: true, processes: 2 },
  { name: 'RedisStore, near cache', open: nativeRedis(true), ours: true, redis: true, cached: true, processes: 1 },
  { name: 'express-session MemoryStore', open: expressMemory, processes: 2 },
  { name: 'connect-redis', open: connectRedis, redis: true, processes: 2 },
  { name: 'store with promises', open: promises, processes: 2 }
];

// Waits until a native RedisStore is connected.
async function connected(store) {
  if (store instanceof session.RedisStore) await store.length();
  return store;
}

module.exports = { PromiseStore, connected, kinds };
