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

// `mks` of a request, kept under MKS until it is given another one
const MKS_OF_REQUEST = {
  get() {
    return this[MKS];
  },
  set(mks) {
    Object.defineProperty(this, 'mks', mksOf(mks));
  },
  configurable: true,
  enumerable: false
};

// by the prototype of requests, the one that goes between
const between = new WeakMap();

// Gives any object `mks` and `session`.
function attach(object, mks) {
  Object.defineProperty(object, 'mks', mksOf(mks));
  Object.defineProperty(object, 'session', SESSION);
}

// Gives them to a request, by a prototype between it and that of its class: to define two properties takes several times
// as long.
function attachRequest(req, mks) {
  const proto = Object.getPrototypeOf(req);
  if (proto === null || Object.hasOwn(req, 'mks') || Object.hasOwn(req, 'session')) return attach(req, mks);
  req[MKS] = mks;
  if (Object.hasOwn(proto, MKS)) return;
  let own = between.get(proto);
  if (!own) {
    own = Object.create(proto, { [MKS]: { value: null, writable: true }, mks: MKS_OF_REQUEST, session: SESSION });
    between.set(proto, own);
  }
  Object.setPrototypeOf(req, own);
}

// Takes them away.
function detach(object) {
  delete object.mks;
  delete object.session;
  const proto = Object.getPrototypeOf(object);
  if (proto !== null && Object.hasOwn(proto, MKS)) Object.setPrototypeOf(object, Object.getPrototypeOf(proto));
}

module.exports = { attach, attachRequest, detach };
