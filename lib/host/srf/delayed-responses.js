'use strict';
// The responses that are delayed until a session is saved, by their connection: srf.endSession must close a connection only
// after they are sent.

class DelayedResponses {
  // by socket, how many responses are delayed, and the actions that follow them
  #sockets = new WeakMap();

  // A response is delayed. Gives a function, to be called just before it is sent.
  add(socket) {
    if (!socket) return () => undefined;
    const delayed = this.#sockets.get(socket) ?? { count: 0, actions: [] };
    this.#sockets.set(socket, delayed);
    delayed.count++;
    return () => {
      if (--delayed.count > 0) return;
      this.#sockets.delete(socket);
      // after the response is written
      if (delayed.actions.length > 0) process.nextTick(() => delayed.actions.forEach((action) => action()));
    };
  }

  // Calls `action` after the delayed responses of a socket; in the same turn if there are none.
  after(socket, action) {
    const delayed = socket && this.#sockets.get(socket);
    return delayed ? void delayed.actions.push(action) : action();
  }
}

module.exports = DelayedResponses;
