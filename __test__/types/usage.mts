// The same by import, as ESM applications write it.

import session, { MemoryStore, RedisStore, Session, addClass } from '../../index.js';

const store: session.NativeStore = process.env.REDIS ? new RedisStore({ url: process.env.REDIS }) : new MemoryStore();
const middleware: session.Middleware = session({ store });
const mks = new Session<{ user: string }>({ store });
mks.session.user.trim();
addClass(class Leg {});
export { middleware };
