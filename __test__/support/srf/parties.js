'use strict';
// Applications for the tests of identity: `define(srf, world)` adds their handlers. The owner of a call is its caller.

const { SDP } = require('../../../examples/drachtio-server');

const BOB = 'sip:bob@127.0.0.1:5070';
const CHALLENGE = { headers: { 'Proxy-Authenticate': 'Digest realm="x", nonce="n1"' } };
const CREDENTIALS = { 'Proxy-Authorization': 'Digest username="jack"' };

const offer = () => ({ localSdp: SDP('app') });

// Answers calls with a Dialog.
const uas = (srf, world) =>
  srf.invite(async (req, res) => {
    world.begins(req);
    srf.emit('up', world.follow(await srf.createUAS(req, res, offer()), req.callingNumber));
  });

// Answers calls without one.
function plain(srf, world) {
  srf.invite((req, res) => {
    world.begins(req);
    res.send(200, { body: SDP('app') }, () => srf.emit('up'));
  });
  srf.ack(() => srf.emit('acknowledged'));
  world.handleInStack(srf, ['info', 'bye', 'subscribe', 'notify']);
}

// Challenges a request without credentials; gives whether it did.
function challenged(req, res, world) {
  if (req.has('Proxy-Authorization')) return false;
  world.begins(req);
  req.session.account = `account of ${req.callingNumber}`;
  res.send(407, CHALLENGE);
  return true;
}

// Challenges an INVITE without credentials. `seen` gets the data that the retry has; `answer` gives its Dialog, or both.
const challenger =
  (seen, answer = (srf, req, res) => srf.createUAS(req, res, offer())) =>
  (srf, world) =>
    srf.invite(async (req, res) => {
      if (challenged(req, res, world)) return undefined;
      seen.push({ ...req.session });
      req.session.owner ??= req.callingNumber;
      req.session.answered = true;
      const dialogs = [await answer(srf, req, res)].flat();
      return srf.emit('up', ...dialogs.map((dialog) => world.follow(dialog, req.callingNumber)));
    });

// A B2BUA; `options` are those of createB2BUA, or a function of the request that gives them. When a leg ends, the other one
// does, unless it is to stay.
const b2bua =
  ({ options = {}, stays = false } = {}) =>
  (srf, world) =>
    srf.invite(async (req, res) => {
      world.begins(req);
      const own = typeof options === 'function' ? options(req) : options;
      const legs = await srf.createB2BUA(req, res, BOB, { localSdpB: req.body, ...own });
      const dialogs = [legs.uas, legs.uac];
      for (const dialog of dialogs) {
        world.follow(dialog, req.callingNumber);
        if (!stays) dialog.on('destroy', () => dialog.other.destroy().catch(() => undefined));
      }
      srf.emit('up', ...dialogs);
    });

// The options with which the B leg has the Call-ID of the A leg.
const keepsCallId = (req) => ({ headers: { 'Call-ID': req.get('call-id') } });

module.exports = { challenged, BOB, CHALLENGE, CREDENTIALS, b2bua, challenger, keepsCallId, offer, plain, uas };
