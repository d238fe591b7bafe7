// Does what is missing between a fresh clone and a working checkout: npm packages, the TypeScript build, libtorch (by
// that build's installer), the native build. Plain JavaScript without dependencies, since it comes first.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const nativeOnly = process.argv.includes('--native');
const bench = process.argv.includes('--bench');

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2], ...options });
  if (result.status !== 0) {
    say(`'${command} ${args.join(' ')}' failed${result.error ? `: ${result.error.message}` : ''}`);
    process.exit(1);
  }
}

/** Newest modification below the given files and folders. */
function newest(...paths) {
  let time = 0;
  for (const path of paths) {
    const full = join(root, path);
    if (!existsSync(full)) continue;
    const stat = statSync(full);
    if (stat.isDirectory()) {
      for (const name of readdirSync(full)) time = Math.max(time, newest(join(path, name)));
    } else time = Math.max(time, stat.mtimeMs);
  }
  return time;
}

function npmPackages() {
  const marker = join(root, 'node_modules', '.package-lock.json');
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs)
    return;
  say('installing npm packages');
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}

function nativeBuild(libtorch) {
  const stamp = join(root, 'build', bench ? '.built-bench' : '.built');
  const sources = newest('native', 'CMakeLists.txt', ...(bench ? ['bench'] : []));
  const built = existsSync(stamp) ? statSync(stamp).mtimeMs : 0;
  if (built > sources && readFileSync(stamp, 'utf8') === libtorch && !process.argv.includes('--force'))
    return;
  say('building the native libraries (a few minutes the first time)');
  const options = [`--CDSPIKENODE_LIBTORCH=${libtorch}`, `--CDSPIKENODE_BENCH=${bench ? 'ON' : 'OFF'}`];
  const jobs = String(Math.max(1, Math.min(cpus().length, 8)));
  const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js');
  run(process.execPath, [cmakeJs, 'configure', ...options]);
  run(process.execPath, [cmakeJs, 'build', '--parallel', jobs, ...options]);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, libtorch);
}

function typescriptBuild() {
  // Not the packages that scripts/tools may hold.
  const scripts = readdirSync(join(root, 'scripts'))
    .map((name) => join('scripts', name))
    .filter((name) => name.endsWith('.ts'));
  const stamp = join(root, 'dist', '.built');
  const sources = newest('lib', 'test', 'bench', ...scripts, 'tsconfig.json');
  if (existsSync(stamp) && statSync(stamp).mtimeMs > sources) return;
  say('compiling TypeScript');
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root]);
  writeFileSync(stamp, '');
}

/** One set-up at a time in a checkout. flock(1) locks our own open file, so the system lets go of it when we end, however. */
function waitForTurn() {
  const file = openSync(join(root, 'build', '.setup.lockfile'), 'w');
  const flock = (...options) =>
    spawnSync('flock', [...options, '3'], { stdio: ['ignore', 2, 2, file] }).status;
  if (flock('--nonblock') !== 1) return;
  say('another setup runs in this checkout; waiting');
  flock();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(join(root, 'build'), { recursive: true });
  waitForTurn();
  // npm has just installed the packages when it calls this from binding.gyp.
  if (!nativeOnly) npmPackages();
  typescriptBuild();
  const { obtainLibtorch } = await import('./libtorch.mjs');
  try {
    nativeBuild(await obtainLibtorch(say));
  } catch (error) {
    say(error.message);
    process.exitCode = 1;
  }
}
