'use strict';
// Requests in an early dialog that drachtio-srf emits as an event of the pending INVITE, past the middleware.

const { findLiveDialog } = require('../../session/find');
const Transaction = require('../../transaction/transaction');
const { tagsOf } = require('./identify');
const { Leg } = require('./leg');

// drachtio-srf refuses an UPDATE if there is no listener. So the module listens only if the application does, and before it.
function onNewListener(event) {
  if (event !== 'update') return;
  this.off('newListener', onNewListener);
  this.on('update', onUpdate);
}

// An UPDATE in an early dialog, of a pending INVITE of either direction.
function onUpdate(update, res) {
  const holder = Leg.of(this) ?? Transaction.of(this);
  if (!holder?.mks) return;
  const { engine, host } = holder;
  // drachtio-srf finds the INVITE by its Call-ID alone
  const { id, mks } = findLiveDialog(engine, tagsOf(host, update)) ?? holder;
  new Transaction(engine, host, update, res).attachEarly(mks, id);
}

// Gives an UPDATE in the early dialog of a received INVITE its session.
const listenForUpdate = (req) => req.on('newListener', onNewListener);

module.exports = { listenForUpdate, onUpdate };
