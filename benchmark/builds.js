'use strict';
// The builds of drachtio-session that a run measures: that of this tree and, with --against, that of another folder.

const path = require('node:path');

const THIS_BUILD = path.join(__dirname, '..');

// the id of the same peer on the other build
const onOtherBuild = (id) => `${id} (other build)`;

module.exports = { THIS_BUILD, onOtherBuild };
