'use strict';
// Fails if files import each other in a circle, and prints the shortest one of each knot:
//   node scripts/import-circles.js [javascript] [rust]
//
// JavaScript: require('./...') anywhere in a file. oxlint's import/no-cycle follows ES modules only.
// Rust: a file imports another if it names one of its items, in a `use` or in a path. `mod` declarations do not count, nor
// does a `pub use` of an item that the file does not need itself: importing it from there is importing the file that
// defines it. Code under #[cfg(test)] does not count.

const fs = require('node:fs');
const path = require('node:path');
const { root } = require('./setup');

const JAVASCRIPT = ['index.js', 'redis.js', 'srf.js', 'lib', 'scripts', 'benchmark', 'examples', '__test__'];

// The files with an extension under `name`, relative to `base`.
function filesIn(base, name, extension) {
  const full = path.join(base, name);
  if (path.basename(name) === 'node_modules') return [];
  if (!fs.statSync(full).isDirectory()) return name.endsWith(extension) ? [name] : [];
  return fs.readdirSync(full).flatMap((inner) => filesIn(base, path.join(name, inner), extension));
}

const read = (base, file) => fs.readFileSync(path.join(base, file), 'utf8');

// By file, the set of files that it imports.
function javascriptImports(base = root, names = JAVASCRIPT) {
  const files = new Set(names.flatMap((name) => filesIn(base, name, '.js')));
  const resolve = (from, request) => {
    const plain = path.join(path.dirname(from), request);
    return [plain, `${plain}.js`, path.join(plain, 'index.js')].find((file) => files.has(file));
  };
  return new Map(
    Array.from(files, (file) => {
      const code = read(base, file).replace(/^\s*\/\/.*$/gm, '');
      const requests = Array.from(code.matchAll(/\brequire\('(\.[^']*)'\)/g), ([, request]) => resolve(file, request));
      return [file, new Set(requests.filter(Boolean))];
    })
  );
}

// Rust code without comments, the content of strings, and test items.
function plainRust(text) {
  let code = text.replace(/\/\/.*|\/\*[^]*?\*\/|r(#*)"[^]*?"\1|"(?:[^"\\]|\\[^])*"|'(?:[^'\\\n]|\\[^']+)'/g, (part) =>
    part.startsWith('/') ? '' : '""'
  );
  for (let at; (at = code.search(/#\[cfg\((?:test|all\(test\b[^\]]*)\)\]/)) !== -1;) {
    code = code.slice(0, at) + code.slice(endOfItem(code, at));
  }
  return code;
}

// Where the item ends that begins at a place: after its `;`, or its closing brace.
function endOfItem(code, from) {
  let depth = 0;
  for (let at = from; at < code.length; at++) {
    if (code[at] === '{') depth++;
    if (code[at] === '}' && --depth === 0) return at + 1;
    if (code[at] === ';' && depth === 0) return at + 1;
  }
  return code.length;
}

// The paths of a `use` tree, as arrays of names.
function pathsOf(tree) {
  const text = tree.trim();
  const brace = text.indexOf('{');
  if (brace === -1) return text ? [text.replace(/\s+as\s+\w+$/, '').split('::')] : [];
  const before = text.slice(0, brace).split('::').filter(Boolean);
  const parts = [];
  let depth = 0;
  let part = '';
  for (const letter of text.slice(brace + 1, text.lastIndexOf('}'))) {
    if (letter === '{') depth++;
    if (letter === '}') depth--;
    if (letter === ',' && depth === 0) {
      parts.push(part);
      part = '';
    } else part += letter;
  }
  return [...parts, part].flatMap(pathsOf).map((inner) => [...before, ...inner].filter((name) => name !== 'self'));
}

// The module of a file: its path from the root of the crate, and what it declares and names.
function rustModule(base, file) {
  const names = path.relative('src', file).replace(/\.rs$/, '').split(path.sep);
  if (['mod', 'lib'].includes(names.at(-1))) names.pop();
  const code = plainRust(read(base, file));
  const children = new Set(Array.from(code.matchAll(/\bmod\s+(\w+)\s*;/g), ([, name]) => name));
  const uses = Array.from(code.matchAll(/\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);/g), ([, pub, tree]) =>
    pathsOf(tree).map((names_) => ({ isPublic: Boolean(pub), names: names_ }))
  ).flat();
  return { file, at: names.join('::'), names, children, uses, body: code.replace(/\buse\s+[^;]+;/g, '') };
}

function rustImports(base = root) {
  const all = filesIn(base, 'src', '.rs').map((file) => rustModule(base, file));
  const byPath = new Map(all.map((module) => [module.at, module]));
  // test modules are declared under #[cfg(test)] only
  const isDeclared = ({ names }) =>
    names.every((name, i) => byPath.get(names.slice(0, i).join('::'))?.children.has(name) ?? false);
  const modules = all.filter(isDeclared);

  // A path as seen from a module, from the root of the crate; nothing for one that leads out of it.
  const absolute = (module, [first, ...rest]) => {
    if (first === 'crate') return rest;
    if (first === 'self') return [...module.names, ...rest];
    if (first === 'super') {
      const up = { ...module, names: module.names.slice(0, -1), children: new Set() };
      return rest[0] === 'super' ? absolute(up, rest) : [...up.names, ...rest];
    }
    return module.children.has(first) ? [...module.names, first, ...rest] : undefined;
  };
  // The module that defines what a path names.
  const definer = (names) => {
    let depth = 0;
    while (depth < names.length && byPath.has(names.slice(0, depth + 1).join('::'))) depth++;
    const owner = byPath.get(names.slice(0, depth).join('::'));
    const item = names[depth];
    const exported = owner.uses.find((use) => use.isPublic && use.names.at(-1) === item);
    const target = item && exported && absolute(owner, exported.names);
    return target ? definer(target) : owner;
  };

  return new Map(
    modules.map((module) => {
      const { body, children, file, uses } = module;
      const needed = uses.filter(({ isPublic, names }) => !isPublic || new RegExp(`\\b${names.at(-1)}\\b`).test(body));
      const inline = Array.from(body.matchAll(/(?<![\w:])\w+(?:::\w+)+/g), ([text]) => text.split('::'));
      const paths = [...needed.map(({ names }) => names), ...inline.filter(([first]) => isLocal(first, children))];
      const targets = paths.map((names) => absolute(module, names)).filter(Boolean);
      return [file, new Set(targets.map((names) => definer(names).file).filter((target) => target !== file))];
    })
  );
}

const isLocal = (first, children) => ['crate', 'self', 'super'].includes(first) || children.has(first);

// The shortest circle through a file, if there is one.
function circleThrough(start, imports) {
  const cameFrom = new Map();
  const queue = [start];
  for (const file of queue) {
    for (const next of imports.get(file) ?? []) {
      if (next === start) {
        const circle = [start];
        for (let at = file; at !== start; at = cameFrom.get(at)) circle.unshift(at);
        return [start, ...circle];
      }
      if (cameFrom.has(next)) continue;
      cameFrom.set(next, file);
      queue.push(next);
    }
  }
  return undefined;
}

// The circles of a graph, each file in one of them at most.
function circles(imports) {
  const found = [];
  for (const file of imports.keys()) {
    const circle = circleThrough(file, imports);
    if (circle && !found.some((other) => other.some((each) => circle.includes(each)))) found.push(circle);
  }
  return found;
}

const LANGUAGES = { javascript: javascriptImports, rust: rustImports };

if (require.main === module) {
  const asked = process.argv.slice(2);
  for (const [language, imports] of Object.entries(LANGUAGES)) {
    if (asked.length > 0 && !asked.includes(language)) continue;
    for (const circle of circles(imports())) {
      console.log(`${language}: ${circle.join(' -> ')}`);
      process.exitCode = 1;
    }
  }
}

module.exports = { circles, javascriptImports, rustImports };
