'use strict';
// A call whose INFO requests change its session: each of them one property, after a look at the one that the INFO before
// has changed.

const { isDeepStrictEqual } = require('node:util');
const { UasCall } = require('./calls');
const { changeProperty, nameOf } = require('./session-data');

class InfoCall extends UasCall {
  static methods = ['INVITE', 'ACK', 'INFO', 'BYE'];
  #count = 0;

  // The application's copy, to compare with, is not the data itself.
  store(req) {
    this.data = this.make(this.id);
    Object.assign(req.session, structuredClone(this.data));
  }

  // One INFO; `then` is called when its response has been sent.
  inform(then) {
    const count = this.#count++;
    const changed = (req, res) => {
      const { session } = req;
      if (count > 0) this.#compare(session, nameOf(count - 1, this.data));
      changeProperty(this.data, count);
      changeProperty(session, count);
      res.send(200);
    };
    this.arrive('INFO', this.id, changed, then);
  }

  #compare(session, name) {
    if (!isDeepStrictEqual(session[name], this.data[name])) this.lost = true;
  }

  read(req) {
    for (const name of Object.keys(this.data)) this.#compare(req.session, name);
  }
}

module.exports = { InfoCall };
