'use strict';
// Who is measured, by id: {title, redis: whether it needs a server, legs: whether sessions have several keys, open()}.

module.exports = {
  ...require('./module'),
  ...require('./classic'),
  ...require('./express'),
  ...require('./driver'),
  ...require('./clients')
};
