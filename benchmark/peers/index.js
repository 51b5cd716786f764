'use strict';
// The peers by id: {title, open({port, root}, host)}, and whether a peer is a build of this project (`ours`), needs a Redis
// server (`redis`), gives one session several keys (`legs`), and may lose changes (`loses`).

module.exports = {
  ...require('./module'),
  ...require('./classic'),
  ...require('./express'),
  ...require('./driver'),
  ...require('./clients'),
  ...require('./srf')
};
