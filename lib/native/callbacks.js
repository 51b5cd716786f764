'use strict';
// The callbacks of pending operations, each under a number greater than 0. The numbers rise, so that a late completion
// does not meet the callback of another operation.
//
// A ring of slots: a Map that is filled and emptied leaves tables behind, which the garbage collector takes for alive.

const FIRST_SIZE = 256; // slots, a power of 2

class Callbacks {
  #numbers = new Uint32Array(FIRST_SIZE);
  #callbacks = Array.from({ length: FIRST_SIZE });
  #last = 0;
  size = 0;

  // A number whose slot is free.
  next() {
    do {
      this.#last = (this.#last + 1) >>> 0 || 1;
    } while (this.#callbacks[this.#slot(this.#last)] !== undefined);
    return this.#last;
  }

  // Keeps a callback under a number of next().
  set(number, callback) {
    const slot = this.#slot(number);
    this.#numbers[slot] = number;
    this.#callbacks[slot] = callback;
    if (++this.size > this.#numbers.length / 2) this.#grow();
  }

  // The callback of that number, or undefined. Frees its slot.
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
