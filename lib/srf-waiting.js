'use strict';
// Which responses wait for the store, by the connection they will take: srf.endSession closes it only after they have left.

class Waiting {
  // by socket: how many responses wait, and what is to be done then
  #sockets = new WeakMap();

  // A response waits; gives what is to be called just before it leaves.
  add(socket) {
    if (!socket) return () => undefined;
    const waiting = this.#sockets.get(socket) ?? { count: 0, actions: [] };
    this.#sockets.set(socket, waiting);
    waiting.count++;
    return () => {
      if (--waiting.count > 0) return;
      this.#sockets.delete(socket);
      // once it has been written
      if (waiting.actions.length > 0) process.nextTick(() => waiting.actions.forEach((action) => action()));
    };
  }

  // In the same turn if no response waits.
  after(socket, action) {
    const waiting = socket && this.#sockets.get(socket);
    return waiting ? void waiting.actions.push(action) : action();
  }
}

module.exports = Waiting;
