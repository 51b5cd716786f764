'use strict';
// The callbacks of pending operations, each under a number greater than 0 that does not come again for a long time.
// A ring of slots: a Map that is filled and emptied leaves tables behind that the garbage collector takes for alive.

const FIRST = 256; // slots, a power of 2

class Callbacks {
  #numbers = new Uint32Array(FIRST);
  #callbacks = Array.from({ length: FIRST });
  #last = 0;
  size = 0;

  // A number whose slot is free.
  next() {
    do {
      this.#last = (this.#last + 1) >>> 0 || 1;
    } while (this.#callbacks[this.#slot(this.#last)] !== undefined);
    return this.#last;
  }

  // Keeps a callback under what next() gave.
  set(number, callback) {
    const slot = this.#slot(number);
    this.#numbers[slot] = number;
    this.#callbacks[slot] = callback;
    if (++this.size > this.#numbers.length / 2) this.#grow();
  }

  // The callback with that number, or undefined; its slot is free from now on.
  take(number) {
    const slot = this.#slot(number);
    const callback = this.#callbacks[slot];
    if (callback === undefined || this.#numbers[slot] !== number) return undefined;
    this.#callbacks[slot] = undefined;
    this.size--;
    return callback;
  }

  #slot(number) {
    return number & (this.#numbers.length - 1);
  }

  #grow() {
    const [numbers, callbacks] = [this.#numbers, this.#callbacks];
    this.#numbers = new Uint32Array(numbers.length * 2);
    this.#callbacks = Array.from({ length: numbers.length * 2 });
    callbacks.forEach((callback, i) => {
      if (callback === undefined) return;
      const slot = this.#slot(numbers[i]);
      this.#numbers[slot] = numbers[i];
      this.#callbacks[slot] = callback;
    });
  }
}

module.exports = Callbacks;
