'use strict';
// Hooks the methods with which drachtio-srf makes legs: createUAC, createB2BUA, createUAS and request take the option
// `session`, and the Call-ID of the leg is a key of that session while the leg or its dialog lives.

const net = require('node:net');
const Session = require('../../session/session');
const Transaction = require('../../transaction/transaction');
const { FORMING } = require('./keys');
const { Leg, attachSent } = require('./leg');
const { sessionIn, without } = require('../session-option');

// createUAC(uri, opts, cbRequest, cbProvisional, callback): the first two callbacks may be in one object, the uri may be in
// opts; without a callback it returns a promise. cbRequest gets each INVITE that is sent, one more for each redirect.
function createUAC(host, original, args, at, mks) {
  const progress = args[at + 1];
  const grouped = progress !== null && typeof progress === 'object';
  const cbRequest = grouped ? progress.cbRequest : progress;
  let leg;
  const sent = (err, req, ...more) => {
    if (!err) {
      const before = leg;
      leg = new Leg(host, req, mks || before?.mks);
      before?.answered(302, true);
    }
    return cbRequest?.(err, req, ...more);
  };
  args[at + 1] = grouped ? { cbRequest: sent, cbProvisional: progress.cbProvisional } : sent;
  const place = at + (grouped ? 2 : 3);
  const callback = args[place];
  const send = (done) => {
    args[place] = (err, ...results) => {
      if (leg && !err && isUnconfirmed(results[0])) host.dialogs.unconfirmed(leg);
      else leg?.answered(err ? failureOf(err) : 200, true);
      return done(err, ...results);
    };
    return original.apply(host.srf, args);
  };
  if (callback) return send(callback);
  return new Promise((resolve, reject) => {
    send((err, dialog) => (err ? reject(err) : resolve(dialog)));
  });
}

// With `noAck` the result is not a Dialog, but an object whose `ack` makes one.
const isUnconfirmed = (result) => result !== null && typeof result === 'object' && Object.hasOwn(result, 'ack');

// drachtio-srf fails a leg without a status if it can make no dialog of its 2xx
const failureOf = ({ status }) => (status >= 300 ? status : 0);

// What to do when a request was sent, or could not be sent: null, for most.
function listenerFor(host, options, mks) {
  const method = String(options.method).toUpperCase();
  const inDialog = Boolean(options.stackDialogId);
  if (method === 'BYE' && inDialog) return (err, req) => host.byeSent(options.stackDialogId, err, req);
  if (mks === undefined) return null;
  return (err, req) => {
    if (err) return;
    if (FORMING.has(method) && !inDialog) new Leg(host, req, mks).follow();
    else if (mks) attachSent(req, mks);
  };
}

function hookLegs(host) {
  // by the options that createB2BUA passes to createUAC, the session of the B leg; false if it gets its own
  const legB = new WeakMap();

  host.wrap('createUAC', (original) => (...args) => {
    const at = isOptions(args[0]) ? 0 : 1;
    const options = args[at];
    // drachtio-srf throws at once
    if (!isOptions(options) || typeof (at ? args[0] : options.uri) !== 'string') return original.apply(host.srf, args);
    const mks = legB.get(options) ?? sessionIn(options);
    legB.delete(options);
    args[at] = without(options);
    return createUAC(host, original, args, at, mks);
  });

  host.wrap('createB2BUA', (original) => (...args) => {
    const at = isOptions(args[2]) ? 2 : 3;
    if (!isOptions(args[at])) args.splice(at, args[at] ? 0 : 1, {});
    const given = sessionIn(args[at]);
    args[at] = without(args[at]);
    const { mks } = args[0];
    legB.set(args[at], given ?? (mks instanceof Session && mks));
    return original.apply(host.srf, args);
  });

  host.wrap('createUAS', (original) => (req, res, options, ...args) => {
    if (!isOptions(options)) return original.call(host.srf, req, res, options, ...args);
    const mks = sessionIn(options);
    if (mks) Transaction.of(req)?.join(mks);
    return original.call(host.srf, req, res, without(options), ...args);
  });

  host.wrap('request', (original) => (...args) => {
    const first = args[0] instanceof net.Socket ? 1 : 0;
    const at = isOptions(args[first]) ? first : first + 1;
    const options = args[at];
    const listener = isOptions(options) && listenerFor(host, options, sessionIn(options));
    if (!listener) return original.apply(host.srf, args);
    args[at] = without(options);
    const callback = args[at + 1];
    const send = (done) => {
      args[at + 1] = (err, req) => {
        listener(err, req);
        return done(err, req);
      };
      return original.apply(host.srf, args);
    };
    if (callback) return send(callback);
    return new Promise((resolve, reject) => {
      send((err, req) => (err ? reject(err) : resolve(req)));
    });
  });
}

const isOptions = (value) => value !== null && typeof value === 'object';

module.exports = { hookLegs };
