'use strict';
// Hooks the methods with which drachtio-srf makes legs: createUAC, createB2BUA, createUAS and request take the option
// `session`, and the Call-ID of the leg is a key of that session while the leg or its dialog lives.

const net = require('node:net');
const Session = require('../../session/session');
const Transaction = require('../../transaction/transaction');
const { FORMING, idOf } = require('../request');
const { sessionIn, without } = require('../session-option');
const { attachSent } = require('./leg');
const Original = require('./original');

// where createB2BUA's options have the session of the B leg, for createUAC; false if it gets its own
const LEG_B = Symbol('drachtio-session session of the B leg');

// The application may stub these methods: what a stub gives need not be a request.
const isRequest = (req) => typeof req?.on === 'function' && idOf(req) !== undefined;

// createUAC(uri, opts, cbRequest, cbProvisional, callback): the first two callbacks may be in one object, the uri may be in
// opts; without a callback it returns a promise. cbRequest gets each INVITE that is sent, one more for each redirect.
function createUAC(host, original, args, at, mks, isOfB2bua) {
  const progress = args.length > at + 1 ? args[at + 1] : {};
  const grouped = progress !== null && typeof progress === 'object';
  const cbRequest = grouped ? progress.cbRequest : progress;
  let leg;
  const sent = (err, req, ...more) => {
    if (!err && isRequest(req)) {
      const before = leg;
      leg = host.legSent(req, mks || before?.mks);
      before?.answered(302, true);
    }
    return cbRequest?.(err, req, ...more);
  };
  args[at + 1] = grouped ? { cbRequest: sent, cbProvisional: progress.cbProvisional } : sent;
  return original.follow(args, at + (grouped ? 2 : 3), (err, result) => {
    if (!leg) return;
    if (err) leg.answered(failureOf(err), true);
    else if (isUnconfirmed(result)) host.dialogs.unconfirmed(leg);
    // a dialog that has ended meanwhile has no key to be saved
    else if (host.srf.findDialogById(result?.id)) leg.answered(200, true, isOfB2bua);
  });
}

// With `noAck` the result is not a Dialog, but an object whose `ack` makes one.
const isUnconfirmed = (result) => result !== null && typeof result === 'object' && Object.hasOwn(result, 'ack');

// drachtio-srf fails a leg without a status if it can make no dialog of its 2xx
const failureOf = (err) => (err.status >= 300 ? err.status : 0);

// What to do when a request was sent, or could not be sent: null, for most.
function listenerFor(host, options, mks) {
  const method = String(options.method).toUpperCase();
  const inDialog = Boolean(options.stackDialogId);
  if (method === 'BYE' && inDialog) return (err, req) => host.byeSent(options.stackDialogId, err, req);
  if (mks === undefined) return null;
  return (err, req) => {
    if (err) return;
    if (FORMING.has(method) && !inDialog) host.legSent(req, mks).listen(req);
    else if (mks) attachSent(req, mks);
  };
}

function hookLegs(host) {
  const hook = (name, make) => {
    host.wrap(name, (method) => make(new Original(host.srf, name, method)));
  };

  hook('createUAC', (original) => (...args) => {
    const at = isOptions(args[0]) ? 0 : 1;
    const options = args[at];
    // drachtio-srf throws at once
    if (!isOptions(options) || typeof (at ? args[0] : options.uri) !== 'string') return original.call(args);
    const shared = options[LEG_B];
    if (shared !== undefined) options[LEG_B] = undefined;
    args[at] = without(options);
    return createUAC(host, original, args, at, shared ?? sessionIn(options), shared !== undefined);
  });

  hook('createB2BUA', (original) => (...args) => {
    if (args.length < 3) return original.call(args);
    const at = isOptions(args[2]) ? 2 : 3;
    if (!isOptions(args[at])) args.splice(at, args[at] ? 0 : 1, {});
    const given = sessionIn(args[at]);
    args[at] = without(args[at]);
    const mks = args[0]?.mks;
    args[at][LEG_B] = given ?? (mks instanceof Session && mks);
    return original.call(args);
  });

  hook('createUAS', (original) => (...args) => {
    const [req, , options] = args;
    if (!isOptions(options)) return original.call(args);
    const mks = sessionIn(options);
    if (mks && isOptions(req)) Transaction.of(req)?.join(mks);
    args[2] = without(options);
    return original.call(args);
  });

  hook('request', (original) => (...args) => {
    const first = args[0] instanceof net.Socket ? 1 : 0;
    const at = isOptions(args[first]) ? first : first + 1;
    const options = args[at];
    const listener = isOptions(options) && listenerFor(host, options, sessionIn(options));
    if (!listener) return original.call(args);
    args[at] = without(options);
    return original.follow(args, at + 1, (err, req) => (err || isRequest(req)) && listener(err, req));
  });
}

const isOptions = (value) => value !== null && typeof value === 'object';

module.exports = { hookLegs };
