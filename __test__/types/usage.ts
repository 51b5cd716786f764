// What applications write, checked by `tsc`; nothing here is run.

import { subscribe } from 'node:diagnostics_channel';
import session = require('../../index');
import redis = require('../../redis');

interface CallData {
  user?: string;
  legs: string[];
}

class Recording {
  constructor(public readonly data: { id: string }) {}
}

const store = new session.RedisStore({ host: 'localhost', ttl: (data: CallData) => (data.user ? 3600 : 60) });
store.on('connect', () => undefined);
store.on('error', (err) => err.code === 'ERR_SESSION_STORE_AUTH');
// @ts-expect-error there is no such option
new session.RedisStore({ hots: 'localhost' });
// @ts-expect-error a port is a number
new session.RedisStore({ port: true });

const app = { use(layer: (req: any, res: any, next: () => void) => void) {} };
app.use(session<CallData>({ store, app, resolvers: [Recording], timeout: 500 }));
app.use(session());
// @ts-expect-error there is no such option
app.use(session({ stroe: store }));

export async function handler(req: session.SessionFields<CallData>): Promise<string | undefined> {
  req.session.user = 'jack jones';
  req.session.legs.push(req.sessionID);
  req.session = { legs: [] };
  // @ts-expect-error a user is a string
  req.session.user = 1;
  await req.session.save();
  req.session.save((err) => err?.message);
  const mks: session.Session<CallData> = req.mks.set('a').set('b', new Recording({ id: '1' }));
  await mks.del('a');
  const found = await session.Session.loadFromStorage<CallData>({ store }, 'a');
  const dialog: session.DialogTags = { callId: 'a', fromTag: 'b', toTag: 'c' };
  const replaced = await session.Session.loadFromStorage<CallData>({ store }, dialog);
  session.Session.loadFromStorage<CallData>({ store }, dialog, (err, other) => [err, other?.session.user]);
  // @ts-expect-error both tags are needed
  await session.Session.loadFromStorage({ store }, { callId: 'a', fromTag: 'b' });
  await mks.adopt(Object(replaced));
  return found?.session.user ?? replaced?.session.user;
}

export async function stores(): Promise<number> {
  const memory = new session.MemoryStore({ max: 10, ttl: 60 });
  memory.on('evict', (sid, value) => [sid.length, value]);
  await memory.set('a', { x: 1 });
  memory.get('a', (err, value) => [err, value]);
  const ids: string[] = await memory.ids();
  await store.quit();
  return ids.length + (await memory.length());
}

export function watched(): number {
  const cached = new session.RedisStore({ cache: { max: 1e6, ttl: 10 } });
  new session.RedisStore({ cache: false });
  // @ts-expect-error there is no such option
  new session.RedisStore({ cache: { size: 1 } });
  const { cache, connections, latencies, failures } = cached.stats();
  // @ts-expect-error a store in memory has no connections
  const none = new session.MemoryStore().stats().connections;
  subscribe('drachtio-session:message', (message) => {
    const { degraded } = message as session.Diagnostics['drachtio-session:message'];
    return degraded;
  });
  return cache.hits + (none ?? connections).up + (latencies.load?.p99 ?? 0) + (failures.ERR_SESSION_STORE ?? 0);
}

// stores of applications
class Mine extends session.Store {
  get(sid: string, callback: (err: any, value?: any) => void) {
    callback(null, sid);
  }
}
session({ store: new Mine() });
session({ store: { get: async (sid: string) => sid, set: async () => undefined, destroy: async () => undefined } });

new session.Event({ target: 1, mks: new session.Session({ store }), more: true }).emit(process, 'x');
const Store: typeof session.RedisStore = redis();
session.addClass(Recording);
session.Session.resolvers.push(Recording);
export { Store };
