// drachtio-srf: what a call recorder has to know of a call, kept in its session: recording stops while a party is on hold
// (re-INVITE), and goes on with the new party after a transfer (REFER). The new leg shares the session, so
// every leg finds the one state, whichever of them began it.
'use strict';

const CALLEE = 'sip:callee@b.example';
const ON_HOLD = /^a=(?:sendonly|inactive)\r?$/m;
const TARGET = /<?(sips?:[^>;\s]+)/;

module.exports = function (srf, session, store) {
  srf.use(session({ store, app: srf }));

  srf.invite(async (req, res) => {
    req.session.recording = { state: 'on', segments: 1, parties: [req.callingNumber] };
    let dialogs;
    try {
      dialogs = await srf.createB2BUA(req, res, CALLEE, { localSdpB: req.body });
    } catch (err) {
      // the caller has heard of it already, or has hung up
      return srf.emit('call failed', err.status);
    }
    const { uas, uac } = dialogs;
    [uas, uac].forEach(attend);
    return srf.emit('recording', uas, uac);
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
      try {
        const body = await dialog.other.modify(req.body);
        res.send(200, { body });
      } catch (err) {
        // the other party wants none of it, or has just hung up
        res.send(err.status || 500);
      }
    });

    dialog.on('refer', async (req, res) => {
      const [, target] = TARGET.exec(req.get('refer-to')) ?? [];
      if (!target) return res.send(400);
      res.send(202);
      try {
        await transfer(dialog, target);
      } catch (err) {
        // the call goes on as it was
        srf.emit('transfer failed', target, err);
      }
      return undefined;
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
    try {
      await other.modify(third.remote.sdp);
      if (!other.connected) throw new Error('the other party has hung up');
    } catch (err) {
      await third.destroy().catch(() => undefined);
      throw err;
    }
    third.other = other;
    other.other = third;
    attend(third);
    third.session.recording.segments++;
    third.session.recording.parties.push(target);
    // it may have hung up by itself
    await dialog.destroy().catch(() => undefined);
    await third.session.save();
    srf.emit('transferred', other, third);
  }
};
