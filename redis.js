'use strict';
// `require('drachtio-session/redis')()` gives RedisStore, as `require('drachtio-redis')()` did.

const { RedisStore } = require('./index.js');

module.exports = () => RedisStore;
