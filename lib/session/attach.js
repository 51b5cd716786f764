'use strict';
// Attaches a session to an object, as `mks` and `session`; neither is enumerable.

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

// The properties of a class of requests. Those requests that have a session have it under MKS, and these accessors give it;
// the others may be given `mks` and `session` as if the accessors were not there.
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

// the prototype that got the accessors last
let prepared = null;

// Attaches a session to any object.
function attach(object, mks) {
  Object.defineProperty(object, 'mks', mksOf(mks));
  Object.defineProperty(object, 'session', SESSION);
}

// Attaches a session to a request, by way of its class: defining two properties on each request takes several times as
// long.
function attachRequest(req, mks) {
  const proto = Object.getPrototypeOf(req);
  if ((proto !== prepared && !prepare(proto)) || Object.hasOwn(req, 'mks') || Object.hasOwn(req, 'session')) {
    return attach(req, mks);
  }
  req[MKS] = mks;
}

// Gives the prototype of a class of requests the accessors; false if it is no such class, or has `mks` or `session`
// already.
function prepare(proto) {
  if (proto === null) return false;
  if (!(MKS in proto)) {
    const isOfRequests = Object.hasOwn(proto, 'constructor') && typeof proto.get === 'function';
    if (!isOfRequests || 'mks' in proto || 'session' in proto || !Object.isExtensible(proto)) return false;
    Object.defineProperties(proto, OF_REQUESTS);
  }
  prepared = proto;
  return true;
}

function detach(object) {
  delete object.mks;
  delete object.session;
  delete object[MKS];
}

module.exports = { attach, attachRequest, detach };
