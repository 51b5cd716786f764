'use strict';
// The public face of drachtio-session. docs/architecture.md is the map.

const session = require('./lib/middleware');
const { addClasses } = require('./lib/codec');
const cdr = require('./lib/srf-cdr');
const SessionError = require('./lib/errors');
const Event = require('./lib/event');
const MemoryStore = require('./lib/memory-store');
const RedisStore = require('./lib/redis-store');
const { Session } = require('./lib/session');
const { Store } = require('./lib/store');

const addClass = (Class) => addClasses([Class]);

// Spelled out one by one: this is what tells `import { RedisStore } from 'drachtio-session'` which names there are.
module.exports = session;
module.exports.Event = Event;
module.exports.MemoryStore = MemoryStore;
module.exports.RedisStore = RedisStore;
module.exports.Session = Session;
module.exports.SessionError = SessionError;
module.exports.Store = Store;
module.exports.addClass = addClass;
module.exports.cdr = cdr;
