'use strict';
// Fails if lib/ defines a constant that the native module exports (src/binding/constants.rs), uses one that it does not
// export, or if the typings list other error codes than there are: node scripts/constants.js

const fs = require('node:fs');
const path = require('node:path');
const { root } = require('./setup');

const TABLES = {
  Facts: 'facts',
  Plan: 'plan',
  Finish: 'finish',
  Event: 'event',
  Refusal: 'refusal',
  SaveMode: 'saveMode'
};
// numbers below this are too common to mean one constant
const DISTINCT = 1000;

const isIn = (table, name) => Object.hasOwn(table, name);

// What is wrong with the code of a file; `native` are the constants that the native module exports.
function mistakes(code, native, codes) {
  const found = [];
  const each = (pattern, check) => {
    for (const match of code.matchAll(pattern)) {
      const mistake = check(match);
      if (mistake) found.push(`${code.slice(0, match.index).split('\n').length}: ${mistake}`);
    }
  };
  const names = new Set(Object.values(TABLES).flatMap((table) => Object.keys(native[table])));
  each(/(?<![\w.])([A-Z][A-Z_]+)\s*[:=]\s*(?:\d|1 <<)/g, ([, name]) => names.has(name) && `${name} is defined in Rust`);
  each(/(['"`])(ERR_SESSION_\w+)\1/g, ([, , code_]) => `${code_}: use ErrorCode`);
  each(/(['"`])([^'"`\n]*)\1/g, ([, , text]) => text === native.keyPrefix && `'${text}': use KEY_PREFIX`);
  each(/(?<![\w.])(\d[\d_]*(?:\.\d+)?(?:e\d+)?)\b/g, ([, digits]) => {
    const number = Number(digits.replaceAll('_', ''));
    const same = Object.keys(native).find((name) => native[name] === number);
    return number >= DISTINCT && same && `${digits} is \`${same}\` of the native module`;
  });
  each(/\.write\((\d)/g, ([, number]) => `a save with the mode ${number}: use SaveMode`);
  each(/(?<![\w.])(Facts|Plan|Finish|Event|Refusal|SaveMode)\.([A-Z_]+)\b/g, ([, table, name]) =>
    isIn(native[TABLES[table]], name) ? null : `there is no ${table}.${name}`
  );
  each(/\bErrorCode\.([A-Z_]+)\b/g, ([, name]) => (isIn(codes, name) ? null : `there is no ErrorCode.${name}`));
  return found;
}

// What the typings say of the codes.
function typingMistakes(text, codes) {
  const [, union] = /type ErrorCode =([^;]*);/.exec(text);
  const listed = Array.from(union.matchAll(/'(\w+)'/g), ([, code]) => code);
  const all = Object.values(codes);
  return [
    ...all.filter((code) => !listed.includes(code)).map((code) => `ErrorCode lacks ${code}`),
    ...listed.filter((code) => !all.includes(code)).map((code) => `ErrorCode has ${code}, which no error has`)
  ];
}

function report(file, list) {
  for (const mistake of list) {
    console.log(`${file}:${mistake}`);
    process.exitCode = 1;
  }
}

if (require.main === module) {
  const native = require('../native.js').constants();
  const { ErrorCode } = require('../lib/native/constants');
  const files = fs.readdirSync(path.join(root, 'lib'), { recursive: true }).filter((name) => name.endsWith('.js'));
  const read = (file) => fs.readFileSync(path.join(root, file), 'utf8');
  // JavaScript's own codes are defined in errors.js
  for (const file of files.filter((name) => name !== 'errors.js')) {
    const name = path.join('lib', file);
    report(name, mistakes(read(name).replace(/\/\/.*$/gm, ''), native, ErrorCode));
  }
  report('index.d.ts', typingMistakes(read('index.d.ts'), ErrorCode));
}

module.exports = { mistakes, typingMistakes };
