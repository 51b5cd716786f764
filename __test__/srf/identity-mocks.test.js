'use strict';
// Unit tests of applications play requests with mocks: one `res` for two requests, with the session of each.

const assert = require('node:assert/strict');
const { setImmediate: turn } = require('node:timers/promises');
const session = require('../..');
const { inEachWorld } = require('../support/srf/world');
const { until } = require('../support/waiting');

// A request with these headers, as much of one as a handler reads.
function request(method, headers, more) {
  const all = { 'call-id': 'mock@a.example', to: '<sip:app@x>', from: '<sip:ann@x>;tag=T1', ...headers };
  const get = (name) => all[name.toLowerCase()];
  const has = (name) => get(name) !== undefined;
  const req = {
    method,
    source: 'network',
    sessionID: all['call-id'],
    get,
    has,
    on: () => req,
    once: () => req,
    ...more
  };
  return req;
}

// A response that keeps what was sent.
function response() {
  const sent = [];
  const send = (status) => sent.push(status);
  return { sent, send, own: send };
}

inEachWorld((test, { release }) => {
  for (const [host, more] of [
    ['of drachtio-srf', () => ({ srf: new release.Srf() })],
    ['without an application', () => ({})]
  ]) {
    for (const method of ['REGISTER', 'INVITE']) {
      test(`one res ${host} for two ${method}s: both get their final response`, async (world) => {
        const store = await world.store();
        const middleware = session({ store });
        const app = more();
        const res = response();
        const seen = [];
        const play = async (headers, status) => {
          const req = request(method, { cseq: `1 ${method}`, ...headers }, app);
          middleware(req, res, () => {
            seen.push({ ...req.session });
            req.session.owner = 'ann';
            res.send(status);
          });
          await until(() => res.sent.at(-1) === status, 'the final response');
          await turn();
        };
        await play({}, 407);
        assert.equal(res.send, res.own, 'res.send is given back');
        await play({ 'proxy-authorization': 'Digest username="ann"' }, 403);
        assert.equal(res.send, res.own, 'res.send is given back');
        assert.deepEqual(res.sent, [407, 403]);
        assert.deepEqual(seen, [{}, { owner: 'ann' }]);
        const mks = await session.Session.loadFromStorage({ store }, 'mock@a.example');
        await mks?.destroy();
      });
    }
  }
});
