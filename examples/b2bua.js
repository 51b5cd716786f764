// The second example of the README: a B2BUA whose two legs share one session.
'use strict';

const config = { remote_uri2: 'sip:callee@b.example' };

module.exports = function (app, session, store) {
  app.use(session({ store, app }));

  app.invite(function (req, res) {
    req.session.uasCallId = req.get('call-id');

    // send an INVITE but don't create a new session
    app.siprequest(
      config.remote_uri2,
      {
        body: req.body,
        session: req.session
      },
      function (err, uacReq, uacRes) {
        if (uacRes.statusCode >= 200) {
          uacRes.ack();

          uacReq.session.uacCallId = uacReq.get('call-id');
        }
        res.send(uacRes.statusCode, {
          body: uacRes.body
        });
      }
    );
  });

  // with one session object, we can get the call-id from the opposite call
  app.bye(function (req, res) {
    res.send(200);

    const otherCallId = req.get('call-id') === req.session.uacCallId ? req.session.uasCallId : req.session.uacCallId;

    // hang up the other leg
    app.siprequest.bye({ headers: { 'call-id': otherCallId } });
  });
};
