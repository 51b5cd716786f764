'use strict';
// The classic module's store, get/set/destroy of JSON text with a TTL, on node-redis and on ioredis.

const PREFIX = 'sess:';
const TTL = 86400;

const parsed = (text) => (text === null ? undefined : JSON.parse(text));

async function answered(promise, callback, read = () => undefined) {
  let value;
  try {
    value = read(await promise);
  } catch (err) {
    return callback(err);
  }
  callback(null, value);
}

async function onNodeRedis(port) {
  const { createClient } = require('redis');
  const client = createClient({ socket: { host: '127.0.0.1', port } });
  await client.connect();
  return {
    get: (sid, callback) => answered(client.get(PREFIX + sid), callback, parsed),
    set: (sid, value, callback) => answered(client.set(PREFIX + sid, JSON.stringify(value), { EX: TTL }), callback),
    destroy: (sid, callback) => answered(client.del(PREFIX + sid), callback),
    close: () => client.close()
  };
}

async function onIoredis(port) {
  const { Redis } = require('ioredis');
  const client = new Redis({ host: '127.0.0.1', port });
  await client.ping();
  return {
    get: (sid, callback) => client.get(PREFIX + sid, (err, text) => callback(err, err ? undefined : parsed(text))),
    set: (sid, value, callback) => client.set(PREFIX + sid, JSON.stringify(value), 'EX', TTL, (err) => callback(err)),
    destroy: (sid, callback) => client.del(PREFIX + sid, (err) => callback(err)),
    close: () => client.quit()
  };
}

module.exports = { onIoredis, onNodeRedis };
