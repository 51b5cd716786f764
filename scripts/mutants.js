'use strict';
// Puts one fault after the other into a copy of the sources, and shows after how many simulated histories each is found:
// node scripts/mutants.js [part of a name]. The faults are in __test__/simulation/mutants.json; HISTORIES is the most that are
// played for each, 100000 unless set.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const root = path.join(__dirname, '..');
const { HISTORIES = '100000' } = process.env;
const COPIED = ['Cargo.toml', 'Cargo.lock', 'build.rs', 'src', path.join('__test__', 'simulation')];

const mutants = JSON.parse(fs.readFileSync(path.join(root, '__test__', 'simulation', 'mutants.json'), 'utf8'));
const [wanted = ''] = process.argv.slice(2);

// what cargo says of a run of the histories, with their sources in `folder`
function run(folder) {
  const args = ['test', '--profile', 'simulation', '--test', 'simulation', 'histories', '--', '--nocapture'];
  const env = {
    ...process.env,
    HISTORIES,
    RUST_BACKTRACE: '0',
    CARGO_TARGET_DIR: path.join(root, 'target', 'mutants')
  };
  const { stdout, stderr, status } = spawnSync('cargo', args, {
    cwd: folder,
    env,
    encoding: 'utf8',
    maxBuffer: 1 << 28
  });
  return { text: stdout + stderr, status };
}

function apply(folder, { name, edits, ...edit }) {
  for (const { file, find, replace } of edits ?? [edit]) {
    const place = path.join(folder, file);
    const text = fs.readFileSync(place, 'utf8');
    const times = text.split(find).length - 1;
    if (times !== 1) throw new Error(`"${name}": its text is ${times} times in ${file}, not once: ${find}`);
    fs.writeFileSync(
      place,
      text.replace(find, () => replace)
    );
  }
}

function restore(folder) {
  for (const name of COPIED) {
    fs.rmSync(path.join(folder, name), { recursive: true, force: true });
    fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true, preserveTimestamps: true });
  }
}

function found({ text, status }) {
  const line = /found after (\d+) histories, SEED=\d+: (.*)/.exec(text);
  if (line) return { after: Number(line[1]), rule: line[2] };
  if (status === 0) return { after: null, rule: `not found within ${HISTORIES} histories` };
  throw new Error(text.slice(-4000));
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'drachtio-session-mutants-'));
let missed = 0;
try {
  const chosen = mutants.filter(({ name }) => name.includes(wanted));
  // all of them are looked for before the first one takes its time
  for (const mutant of chosen) {
    restore(folder);
    apply(folder, mutant);
  }
  for (const mutant of chosen) {
    restore(folder);
    apply(folder, mutant);
    const { after, rule } = found(run(folder));
    if (after === null) missed++;
    console.log(`| ${mutant.name} | ${after ?? '-'} | ${rule.slice(0, 90)} |`);
  }
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
process.exitCode = missed > 0 ? 1 : 0;
