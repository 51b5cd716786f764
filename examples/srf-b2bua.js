// drachtio-srf: a B2BUA whose two legs share one session, and hang up together.
'use strict';

const CALLEE = 'sip:callee@b.example';

module.exports = function (srf, session, store) {
  srf.use(session({ store, app: srf }));

  srf.invite(async (req, res) => {
    req.session.caller = req.callingNumber;
    let dialogs;
    try {
      dialogs = await srf.createB2BUA(req, res, CALLEE, { localSdpB: req.body });
    } catch (err) {
      // the caller has heard of it already: drachtio-srf passes the callee's answer on
      return srf.emit('call failed', err.status);
    }

    const { uas, uac } = dialogs;
    for (const dialog of [uas, uac]) {
      dialog.on('info', (info, infoRes) => {
        info.session.digits = (info.session.digits || '') + info.body;
        infoRes.send(200);
      });
      dialog.on('destroy', async (bye) => {
        const { caller, digits } = bye.session;
        // both parties may hang up at the same moment
        await dialog.other.destroy().catch(() => undefined);
        srf.emit('call ended', { caller, digits });
      });
    }
    return srf.emit('call answered', uas, uac);
  });
};
