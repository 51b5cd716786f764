'use strict';
// The checks of `npm run check` that are scripts of this project find what they are there to find.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { ErrorCode } = require('../../lib/native/constants');
const native = require('../../lib/native');
const { mistakes, typingMistakes } = require('../../scripts/constants');
const { circles, javascriptImports, rustImports } = require('../../scripts/import-circles');

// The files of each circle, in the order of their names.
const filesOf = (imports) => circles(imports).map((circle) => Array.from(new Set(circle)).toSorted());

// A directory with these files, which goes with the test.
function directory(t, files) {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'drachtio-session-'));
  t.after(() => fs.rmSync(base, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(base, name)), { recursive: true });
    fs.writeFileSync(path.join(base, name), text);
  }
  return base;
}

test('a circle of JavaScript files is found, however late it requires', (t) => {
  const base = directory(t, {
    'lib/a.js': "const b = require('./b');\n// require('./d')\n",
    'lib/b.js': "const c = () => require('./c');\n",
    'lib/c/index.js': "require('node:fs');\nrequire('../a');\n",
    'lib/d.js': "require('./a');\n"
  });
  assert.deepEqual(filesOf(javascriptImports(base, ['lib'])), [['lib/a.js', 'lib/b.js', 'lib/c/index.js']]);
});

test('a circle of Rust files is found', (t) => {
  const parent = 'mod child;\npub struct Thing;\n';
  const child = 'use super::Thing;\npub struct Part(Thing);\n';
  const of = (files) => filesOf(rustImports(directory(t, { 'src/lib.rs': 'mod parent;\nmod other;\n', ...files })));
  const circle = [['src/parent.rs', 'src/parent/child.rs']];
  const both = (above, below = child) =>
    of({ 'src/parent.rs': above, 'src/parent/child.rs': below, 'src/other.rs': '' });

  // a declaration, a re-export, a test or a comment is no import
  assert.deepEqual(both(parent), []);
  assert.deepEqual(both(`${parent}pub use child::Part;\n`), []);
  assert.deepEqual(both(`${parent}#[cfg(test)]\nmod tests { use super::child::Part; }\n// child::Part\n`), []);
  // a use, a path, and a re-export that the file needs itself are
  assert.deepEqual(both(`${parent}use child::{Part as P};\n`), circle);
  assert.deepEqual(both(`${parent}fn f() -> child::Part { todo!() }\n`), circle);
  assert.deepEqual(both(`${parent}pub use child::Part;\nfn f(part: Part) {}\n`), circle);
  // by way of a re-export
  const files = {
    'src/parent.rs': 'mod child;\npub use child::Part;\n',
    'src/parent/child.rs': 'use crate::other::User;\npub struct Part(User);\n',
    'src/other.rs': 'use crate::parent::{self, Part};\npub struct User(Part);\n'
  };
  assert.deepEqual(of(files), [['src/other.rs', 'src/parent/child.rs']]);
});

const typings = (codes) => `type ErrorCode =${codes.map((code) => ` | '${code}'`).join('')};`;

test('a constant that is defined twice is found, and one that does not exist', () => {
  const constants = native.constants();
  const found = (code) => mistakes(code, constants, ErrorCode).length;
  for (const code of [
    'const Facts = { NETWORK: 1 };',
    'const SAVE_DIALOG = 1;',
    "new SessionError('ERR_SESSION_GONE')",
    "const prefix = 'mks:';",
    'timeout <= 86400000',
    'mks.write(0, done);',
    'plan & Plan.CREAT',
    'ErrorCode.NOPE'
  ]) {
    assert.equal(found(code), 1, code);
  }
  assert.equal(found('plan & Plan.CREATE ? Facts.CANCELED : 0; mks.write(SaveMode.ALWAYS, done); sleep(1000);'), 0);
  const all = Object.values(ErrorCode);
  assert.deepEqual(typingMistakes(typings(all), ErrorCode), []);
  assert.equal(typingMistakes(typings([...all.slice(1), 'ERR_SESSION_NOPE']), ErrorCode).length, 2);
});
