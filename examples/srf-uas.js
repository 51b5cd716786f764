// drachtio-srf: a UAS that collects digits, and says at the end who has called and what was pressed.
'use strict';

const SDP = 'v=0\r\no=uas 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 46000 RTP/AVP 0\r\n';

module.exports = function (srf, session, store) {
  srf.use(session({ store, app: srf }));

  srf.invite(async (req, res) => {
    req.session.caller = req.callingNumber;
    req.session.since = new Date();
    let uas;
    try {
      uas = await srf.createUAS(req, res, { localSdp: SDP });
    } catch (err) {
      // the caller has hung up, or the connection to the server is gone
      return srf.emit('call failed', err);
    }

    uas.on('info', (info, infoRes) => {
      info.session.digits = (info.session.digits || '') + info.body;
      infoRes.send(200);
    });

    uas.on('destroy', (bye) => {
      const { caller, since, digits } = bye.session;
      srf.emit('call ended', { caller, since, digits });
    });
    return srf.emit('call answered', uas);
  });
};
