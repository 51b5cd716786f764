'use strict';
// The responses that are delayed until a session is saved, by their connection: srf.endSession must close a connection only
// after they are sent.

// where a socket has its delayed responses: how many there are, and the actions that follow them
const DELAYED = Symbol('drachtio-session delayed responses');

// A response is delayed.
function add(socket) {
  if (!socket) return;
  const delayed = (socket[DELAYED] ??= { count: 0, actions: [] });
  delayed.count++;
}

// A delayed response is about to be sent.
function remove(socket) {
  const delayed = socket?.[DELAYED];
  if (!delayed || --delayed.count > 0 || delayed.actions.length === 0) return;
  const { actions } = delayed;
  delayed.actions = [];
  // after the response is written
  process.nextTick(() => actions.forEach((action) => action()));
}

// Calls `action` after the delayed responses of a socket; in the same turn if there are none.
function after(socket, action) {
  const delayed = socket?.[DELAYED];
  if (delayed?.count > 0) delayed.actions.push(action);
  else action();
}

module.exports = { add, after, remove };
