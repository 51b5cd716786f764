// The first example of the README: a UAS that remembers something about the caller until the call ends.
'use strict';

const assert = require('node:assert');

const config = {
  connect_opts: { host: 'localhost', port: 8022, secret: 'cymru' },
  sdp: 'v=0\r\no=uas 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 46000 RTP/AVP 0\r\n'
};

module.exports = function (app, session, store) {
  app.connect(config.connect_opts);

  app.use(session({ store, app }));

  app.invite(function (req, res) {
    req.session.user = 'jack jones';
    res.send(200, {
      body: config.sdp
    });
  });

  app.bye(function (req, res) {
    res.send(200);

    assert(req.session.user === 'jack jones');
  });
};
