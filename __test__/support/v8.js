'use strict';
// What this V8 gets wrong, so that a test of ours does not fail for it.

// JSON.parse() may give an escaped name of a property as `\`, once it has parsed an object of the same shape with a name
// that is a backslash and nothing else: https://github.com/nodejs/node/issues/63785
function confusesEscapedNames() {
  JSON.parse(String.raw`{"probed":[],"\\":0}`);
  const [, name] = Object.keys(JSON.parse(String.raw`{"probed":0,"\"":0}`));
  return name !== '"';
}

module.exports = { confusesEscapedNames };
