'use strict';
// Who is measured, by id: {title, open()}, and whether it needs a redis server, has sessions with several keys (legs), and may
// lose some (loses).

module.exports = {
  ...require('./module'),
  ...require('./classic'),
  ...require('./express'),
  ...require('./driver'),
  ...require('./clients'),
  ...require('./srf')
};
