import session = require('./index');

/** Gives `RedisStore`, as `require('drachtio-redis')()` did; the argument is ignored. */
declare function redis(ignored?: unknown): typeof session.RedisStore;
export = redis;
