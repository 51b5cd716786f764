'use strict';
// Attaches a session to an object, as `mks` and `session`; neither is enumerable.
//
// An object of a class that the host makes for each message or dialog refers to a holder, which knows the session: a
// transaction, or the leg of a dialog. The accessors are properties of the class, since defining two properties on each
// object takes several times as long; and if a dialog moves to another session, all that refers to it has that session.

const { SessionData } = require('./data');

const HOLDER = Symbol('drachtio-session holder');

// Moves a dialog, if `content` is the data of another session; otherwise replaces the content of its session.
function assign(object, content) {
  const { mks } = object;
  const { dialog, moveTo } = object[HOLDER];
  const isOther = content instanceof SessionData && content.mks !== mks;
  if (isOther && moveTo && dialog === object) object[HOLDER].moveTo(content.mks);
  else mks.session = content;
}

const plain = (value, enumerable) => ({ value, configurable: true, writable: true, enumerable });

// The properties of a class of requests or dialogs. An object without a holder may be given `mks` and `session` as if the
// accessors were not there.
const OF_CLASS = {
  [HOLDER]: { value: undefined, writable: true },
  mks: {
    get() {
      return this[HOLDER]?.mks ?? undefined;
    },
    set(mks) {
      Object.defineProperty(this, 'mks', plain(mks, false));
    },
    configurable: true,
    enumerable: false
  },
  session: {
    get() {
      return this[HOLDER] && this.mks?.session;
    },
    set(content) {
      if (this[HOLDER]) assign(this, content);
      else Object.defineProperty(this, 'session', plain(content, true));
    },
    configurable: true,
    enumerable: false
  }
};

// `session` of an object that has `mks` as a property of its own
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

// The classes that got the accessors last: that of requests and that of dialogs.
const prepared = [null, null];

// Attaches a session to any object.
function attach(object, mks) {
  Object.defineProperty(object, 'mks', plain(mks, false));
  Object.defineProperty(object, 'session', SESSION);
}

// Attaches the session of a holder to a request or a dialog.
function attachHolder(object, holder) {
  const proto = Object.getPrototypeOf(object);
  const isPrepared = proto === prepared[0] || proto === prepared[1] || prepare(proto);
  if (isPrepared && !Object.hasOwn(object, 'mks') && !Object.hasOwn(object, 'session')) {
    object[HOLDER] = holder;
    return;
  }
  Object.defineProperty(object, HOLDER, { value: holder, configurable: true, writable: true, enumerable: false });
  Object.defineProperty(object, 'mks', { ...OF_CLASS.mks, enumerable: false });
  Object.defineProperty(object, 'session', OF_CLASS.session);
}

// Gives the prototype of a class of requests or dialogs the accessors; false if it is no such class, or has `mks` or
// `session` already.
function prepare(proto) {
  if (proto === null) return false;
  if (!(HOLDER in proto)) {
    const isOfHost = Object.hasOwn(proto, 'constructor') && typeof (proto.get ?? proto.handle) === 'function';
    if (!isOfHost || 'mks' in proto || 'session' in proto || !Object.isExtensible(proto)) return false;
    Object.defineProperties(proto, OF_CLASS);
  }
  prepared.unshift(proto);
  prepared.length = 2;
  return true;
}

// The holder of an object, undefined if it has none.
const holderOf = (object) => object[HOLDER];

function detach(object) {
  delete object.mks;
  delete object.session;
  object[HOLDER]?.detach?.();
}

module.exports = { attach, attachHolder, detach, holderOf };
