'use strict';
// The public face of drachtio-session. docs/architecture.md is the map.

const { SessionError } = require('./lib/errors');
const cdr = require('./lib/host/srf/cdr');
const session = require('./lib/middleware');
const { addClasses } = require('./lib/session/codec');
const Event = require('./lib/session/event');
const Session = require('./lib/session/session');
const MemoryStore = require('./lib/store/memory');
const RedisStore = require('./lib/store/redis');
const Store = require('./lib/store/store');

const addClass = (Class) => addClasses([Class]);

// One by one: Node reads from these lines which names `import { RedisStore } from 'drachtio-session'` has.
module.exports = session;
module.exports.Event = Event;
module.exports.MemoryStore = MemoryStore;
module.exports.RedisStore = RedisStore;
module.exports.Session = Session;
module.exports.SessionError = SessionError;
module.exports.Store = Store;
module.exports.addClass = addClass;
module.exports.cdr = cdr;
