'use strict';
// A request from the network as the classic host has it, and what `res.send` lets through.
function message(method, id, toTag = false) {
  const headers = { 'call-id': id, to: toTag ? '<sip:a@b>;tag=1' : '<sip:a@b>', from: '<sip:c@d>;tag=2' };
  const req = { method, id, source: 'network', canceled: false, get: (name) => headers[name.toLowerCase()] };
  const res = {};
  const left = new Promise((resolve) => {
    res.send = (...args) => resolve(args);
  });
  return { req, res, left };
}

module.exports = { message };
