'use strict';
// npm run test:pack: packs the module and this platform's binary as they would be published, installs both into an
// empty folder without install scripts, and runs the README's first example there: by require, by import, and as
// TypeScript. drachtio is the scripted host of the examples, Redis one of our own.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { SetupError, main, nativeModule, root, run, setup } = require('./setup');
const { RedisServer } = require('../__test__/support/redis');
const { requireRedisServer } = require('./redis-server');

const CALL_TIMEOUT_MS = 60 * 1000;

const CONFIG = "{ connect_opts: { host: 'localhost', port: 8022, secret: 'cymru' }, sdp: 'v=0' }";

const HOST_TYPES = `/// <reference types="node" />
type Handler = (req: any, res: any, next: (err?: any) => void) => void;
interface App extends NodeJS.EventEmitter {
  use(middleware: Handler): unknown;
  invite(handler: Handler): unknown;
  bye(handler: Handler): unknown;
  connect(options: object): unknown;
}
declare function drachtio(): App;
export = drachtio;
`;

// What replaces the example's own four lines of require.
const IMPORTS = `import assert from 'node:assert';
import drachtio from 'drachtio';
import session from 'drachtio-session';
import { RedisStore } from 'drachtio-session';
const app = drachtio();
const config = ${CONFIG};
`;
const TYPED_REQUIRES = `import assert = require('node:assert');
import drachtio = require('drachtio');
import session = require('drachtio-session');
import redis = require('drachtio-session/redis');
const app = drachtio();
const RedisStore = redis();
const config = ${CONFIG};
`;

// Plays one call to the example that it is given; nothing but the example holds a connection, so it must end by itself.
const CALL = `const assert = (globalThis.assert = require('node:assert'));
const { ask } = require(${JSON.stringify(path.join(root, '__test__', 'support', 'redis'))});
const drachtio = require('drachtio');
const size = async () => (await ask(Number(process.argv[3]), 'DBSIZE')).trim();
(async () => {
  await import(process.argv[2]);
  drachtio.app.on('failure', (err) => { throw err; });
  assert.equal(await size(), ':0');
  const call = drachtio.app.peer.invite();
  assert.equal((await call.final()).statusCode, 200);
  assert.notEqual(await size(), ':0', 'the session is in Redis when the 200 has left');
  await call.ack();
  assert.equal((await call.bye()).statusCode, 200);
  assert.equal(await size(), ':0', 'nothing is left after the BYE');
})();
`;

function readmeExample(port) {
  const [, code] = /```js\n([\s\S]*?)```/.exec(fs.readFileSync(path.join(root, 'README.md'), 'utf8')) || [];
  if (!code?.includes("host: 'localhost'") || !code.includes('app.connect')) {
    throw new SetupError("README.md: the first js block must be the example with {host: 'localhost'} and app.connect");
  }
  return code.replace("host: 'localhost'", `host: 'localhost', port: ${port}`);
}

// Packs the folder and returns the tarball's path.
function pack(folder, destination) {
  const before = new Set(fs.readdirSync(destination));
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', destination];
  run('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });
  return path.join(
    destination,
    fs.readdirSync(destination).find((name) => name.endsWith('.tgz') && !before.has(name))
  );
}

// The package of this platform, as `napi create-npm-dirs` and `napi artifacts` lay it out when all are built.
function packPlatform(dir) {
  const cli = path.join(root, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js');
  fs.copyFileSync(path.join(root, 'package.json'), path.join(dir, 'package.json'));
  run(process.execPath, [cli, 'create-npm-dirs'], { cwd: dir, stdio: 'ignore' });
  const binary = nativeModule();
  const folder = path.join(dir, 'npm', binary.split('.')[1]);
  fs.copyFileSync(path.join(root, binary), path.join(folder, binary));
  return pack(folder, dir);
}

function install(app, tarballs) {
  fs.writeFileSync(path.join(app, 'package.json'), '{ "private": true }\n');
  run('npm', ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', ...tarballs], { cwd: app });
  const drachtio = path.join(app, 'node_modules', 'drachtio');
  fs.mkdirSync(drachtio);
  fs.copyFileSync(path.join(root, 'examples', 'classic-host.js'), path.join(drachtio, 'classic-host.js'));
  const host = "const host = require('./classic-host');\nmodule.exports = () => (module.exports.app = host());\n";
  fs.writeFileSync(path.join(drachtio, 'package.json'), '{ "name": "drachtio" }\n');
  fs.writeFileSync(path.join(drachtio, 'index.js'), host);
  fs.writeFileSync(path.join(drachtio, 'index.d.ts'), HOST_TYPES);
  for (const types of ['@types/node', 'undici-types']) {
    fs.cpSync(path.join(root, 'node_modules', types), path.join(app, 'node_modules', types), { recursive: true });
  }
}

function writeExamples(app, port) {
  const example = readmeExample(port);
  const body = example.slice(example.indexOf('app.connect'));
  const files = {
    'fixtures/config.js': `module.exports = ${CONFIG};\n`,
    'src/call.js': CALL,
    'src/required.js': example.replace("require('drachtio-redis')", "require('drachtio-session/redis')"),
    'src/imported.mjs': IMPORTS + body,
    'src/typed.mts': IMPORTS + body,
    'src/typed.cts': TYPED_REQUIRES + body
  };
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(app, name)), { recursive: true });
    fs.writeFileSync(path.join(app, name), text);
  }
}

function compile(app) {
  const tsc = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const options = ['--strict', '--module', 'node16', '--target', 'es2022', '--noEmitOnError'];
  run(process.execPath, [tsc, ...options, 'src/typed.mts', 'src/typed.cts'], { cwd: app });
}

// Without its binary the module must say what is missing, not fail somewhere else.
function failsClearly(app, platformPackage) {
  fs.rmSync(path.join(app, 'node_modules', platformPackage), { recursive: true });
  const { status, stderr } = spawnSync(process.execPath, ['-e', "require('drachtio-session')"], {
    cwd: app,
    encoding: 'utf8'
  });
  if (status === 0 || !/native|binary/i.test(stderr)) {
    throw new SetupError(`require without ${platformPackage} must fail with an error that names it:\n${stderr}`);
  }
}

main(async () => {
  setup();
  requireRedisServer();
  const dir = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'drachtio-session-pack-')));
  const redis = await RedisServer.start();
  try {
    const app = path.join(dir, 'app');
    fs.mkdirSync(app);
    install(app, [pack(root, dir), packPlatform(dir)]);
    writeExamples(app, redis.port);
    compile(app);
    for (const name of ['required.js', 'imported.mjs', 'typed.mjs', 'typed.cjs']) {
      run(process.execPath, ['src/call.js', `./${name}`, String(redis.port)], { cwd: app, timeout: CALL_TIMEOUT_MS });
      console.log(`ok     README example, ${name}`);
    }
    failsClearly(app, `drachtio-session-${nativeModule().split('.')[1]}`);
    console.log('ok     a clear error without the binary');
  } finally {
    await redis.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
});
