// drachtio-srf: what a call recorder has to know of a call, kept in its session: recording stops while a party is on hold
// (re-INVITE), and goes on with whoever comes in when a party is transferred (REFER). The new leg shares the session, so
// every leg finds the one state, whichever of them began it.
'use strict';

const CALLEE = 'sip:callee@b.example';
const ON_HOLD = /^a=(?:sendonly|inactive)\r?$/m;
const TARGET = /<?(sips?:[^>;\s]+)/;

module.exports = function (srf, session, store) {
  srf.use(session({ store, app: srf }));

  srf.invite(async (req, res) => {
    req.session.recording = { state: 'on', segments: 1, parties: [req.callingNumber] };
    const { uas, uac } = await srf.createB2BUA(req, res, CALLEE, { localSdpB: req.body });
    [uas, uac].forEach(attend);
    srf.emit('recording', uas, uac);
  });

  function attend(dialog) {
    dialog.on('modify', async (req, res) => {
      const { recording } = req.session;
      const held = ON_HOLD.test(req.body);
      if (held) recording.state = 'paused';
      else if (recording.state === 'paused') {
        recording.state = 'on';
        recording.segments++;
      }
      const body = await dialog.other.modify(req.body);
      res.send(200, { body });
    });

    dialog.on('refer', async (req, res) => {
      const [, target] = TARGET.exec(req.get('refer-to'));
      req.session.recording.segments++;
      req.session.recording.parties.push(target);
      res.send(202);
      await transfer(dialog, target);
    });

    dialog.on('destroy', async (bye) => {
      const recording = { ...bye.session.recording };
      await dialog.other.destroy().catch(() => undefined);
      srf.emit('recorded', recording);
    });
  }

  // The party of this leg is replaced by the one at the target.
  async function transfer(dialog, target) {
    const { other } = dialog;
    const third = await srf.createUAC(target, { localSdp: other.remote.sdp, session: dialog.session });
    await other.modify(third.remote.sdp);
    third.other = other;
    other.other = third;
    attend(third);
    await dialog.destroy();
    srf.emit('transferred', other, third);
  }
};
