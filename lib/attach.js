'use strict';
// `mks` and `session` of an object that has a session; neither is enumerable.

const MKS = Symbol('drachtio-session mks');

// `session` of an object that has `mks`
const SESSION = {
  get() {
    return this.mks.session;
  },
  set(content) {
    this.mks.session = content;
  },
  configurable: true,
  enumerable: false
};

const mksOf = (mks) => ({ value: mks, configurable: true, writable: true, enumerable: false });

// What a class of requests gets: for those that have a session the same, under MKS until they are given another one; the
// others are as they would be without.
const OF_REQUESTS = {
  [MKS]: { value: undefined, writable: true },
  mks: {
    get() {
      return this[MKS];
    },
    set(mks) {
      Object.defineProperty(this, 'mks', mksOf(mks));
    },
    configurable: true,
    enumerable: false
  },
  session: {
    get() {
      return this[MKS] && this.mks.session;
    },
    set(content) {
      if (this[MKS]) this.mks.session = content;
      else
        Object.defineProperty(this, 'session', {
          value: content,
          configurable: true,
          writable: true,
          enumerable: true
        });
    },
    configurable: true,
    enumerable: false
  }
};

// the prototype that was seen last, which has them
let seen = null;

// Gives any object `mks` and `session`.
function attach(object, mks) {
  Object.defineProperty(object, 'mks', mksOf(mks));
  Object.defineProperty(object, 'session', SESSION);
}

// Gives them to a request, by way of its class: to define two properties on each takes several times as long.
function attachRequest(req, mks) {
  const proto = Object.getPrototypeOf(req);
  if ((proto !== seen && !prepare(proto)) || Object.hasOwn(req, 'mks') || Object.hasOwn(req, 'session')) {
    return attach(req, mks);
  }
  req[MKS] = mks;
}

// Whether a prototype is that of a class of requests, and has what they get. Where somebody else has put `mks` or
// `session`, it is left alone.
function prepare(proto) {
  if (proto === null) return false;
  if (!(MKS in proto)) {
    const isOfRequests = Object.hasOwn(proto, 'constructor') && typeof proto.get === 'function';
    if (!isOfRequests || 'mks' in proto || 'session' in proto || !Object.isExtensible(proto)) return false;
    Object.defineProperties(proto, OF_REQUESTS);
  }
  seen = proto;
  return true;
}

// Takes them away.
function detach(object) {
  delete object.mks;
  delete object.session;
  delete object[MKS];
}

module.exports = { attach, attachRequest, detach };
