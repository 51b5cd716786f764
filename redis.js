'use strict';
// `require('drachtio-session/redis')()` gives RedisStore: what `require('drachtio-redis')()` gave to applications.

const { RedisStore } = require('./index.js');

module.exports = () => RedisStore;
