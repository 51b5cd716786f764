'use strict';
// A process with one drachtio-srf application, for collisions.js: `node collision-application.js <release> <options>`. The
// called number says what becomes of a call, the calling number is its owner. It tells the parent process which calls are up
// and which have ended, and at the end what was wrong.

const session = require('../../..');
const { SDP } = require('../../../examples/drachtio-server');
const { CHALLENGE, keepsCallId } = require('./parties');

// ms; deadlines are not what this is about
const TIMEOUT = 20000;

const [, , release, options] = process.argv;
const { connectOptions, redis } = JSON.parse(options);
const wrong = [];

const Srf = require(release);
const srf = new Srf();
const store = new session.RedisStore({ ...redis, commandTimeout: TIMEOUT });
store.on('error', (err) => wrong.push(`the store: ${err.code} ${err.message}`));
srf.use(session({ store, app: srf, timeout: TIMEOUT }));
srf.on('error', (err) => wrong.push(`the connection: ${err.message}`));

const isOf = (owner, data) => {
  if (data?.owner !== owner) wrong.push(`a handler of ${owner} has ${JSON.stringify(data)}`);
};
const answerInfo = (req, res, dialog) => {
  const body = { ...req.session, same: dialog ? req.session === dialog.session : true };
  res.send(200, { body: JSON.stringify(body) });
};

// The handlers of a Dialog check by themselves what their response does not tell the parent.
function follow(dialog, owner) {
  dialog.on('info', (req, res) => answerInfo(req, res, dialog));
  dialog.on('ack', (ack) => isOf(owner, ack.session));
  dialog.on('destroy', (bye) => {
    isOf(owner, bye.session);
    if (bye.session !== dialog.session) wrong.push(`the BYE of ${owner} has not the session of its Dialog`);
    process.send({ ended: owner });
  });
}

const ANSWERS = {
  async uas(req, res, owner) {
    follow(await srf.createUAS(req, res, { localSdp: SDP('app') }), owner);
    process.send({ up: owner });
  },
  plain(req, res, owner) {
    res.send(200, { body: SDP('app') }, () => process.send({ up: owner }));
  },
  ring(req, res) {
    res.send(180);
  },
  challenge(req, res, owner) {
    if (req.has('Proxy-Authorization')) return ANSWERS.uas(req, res, owner);
    req.session.challenged = true;
    return res.send(407, CHALLENGE);
  },
  b2bua: (req, res, owner) => connect(req, res, owner, {}),
  kept: (req, res, owner) => connect(req, res, owner, keepsCallId(req))
};

// A leg that ends leaves the other one to the test.
async function connect(req, res, owner, own) {
  const uri = `sip:${owner}@127.0.0.1:5070`;
  const { uas, uac } = await srf.createB2BUA(req, res, uri, { localSdpB: req.body, ...own });
  if (uas.session !== uac.session) wrong.push(`the legs of ${owner} have two sessions`);
  for (const dialog of [uas, uac]) follow(dialog, owner);
  process.send({ up: owner });
}

srf.invite(async (req, res) => {
  const owner = req.callingNumber;
  // the parent knows what a call must begin with
  const found = { ...req.session };
  Object.assign(req.session, { owner, found });
  req.on('cancel', () => isOf(owner, req.session));
  try {
    await ANSWERS[req.calledNumber](req, res, owner);
  } catch (err) {
    wrong.push(`${owner}: ${err.message}`);
  }
});
srf.ack(() => undefined);
srf.info((req, res) => answerInfo(req, res));
srf.bye((req, res) => {
  const [, owner] = /sip:([^@>]*)@/.exec(req.get(req.source === 'network' ? 'from' : 'to'));
  isOf(owner, req.session);
  res.send(200);
  process.send({ ended: owner });
});

process.on('message', () => process.send({ wrong }, () => process.exit()));
srf.connect(connectOptions);
