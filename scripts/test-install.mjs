// Installs the packages of a release from a registry on this machine as users do, in empty folders where no compiler can be
// called, and trains the example of the README there:
//   npm run test:install -- [--packages DIR] [--scratch DIR] [--keep] [CASE]...
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  canBeImported,
  saysWhatIsMissing,
  sizeOf,
  trains,
  typesCompile,
  writesOnlyWhereItMay,
} from './install/checks.mjs';
import { Place } from './install/place.mjs';
import { publish, startRegistry } from './install/registry.mjs';
import { NODES, nodeProgram, npmFolder } from './nodes.mjs';
import { table } from './table.mjs';
import { tool } from './tools.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const [node20, node22, node24, node26] = NODES;
/** The npm that came with a Node; 12 is the newest, which runs no script of a dependency. */
const npm = { shipped20: '10.5.0', shipped22: '10.9.8', newest: '12.2.0' };

function trainsAfter(install, runner) {
  return (place, { node }) => {
    install(place);
    const accuracy = trains(place, runner);
    canBeImported(place, node);
    typesCompile(place);
    writesOnlyWhereItMay(place);
    return `accuracy ${(100 * accuracy).toFixed(2)} %`;
  };
}

function npmInstall(...options) {
  return (place) => place.run('npm', ['install', ...options, 'spikenode']);
}

/** A lockfile that npm makes for another system; the projects's node_modules of that system are not carried along. */
function lockOfAnotherSystem(place) {
  place.run('npm', ['install', '--os=darwin', '--cpu=arm64', 'spikenode']);
  rmSync(join(place.project, 'node_modules'), { recursive: true });
}

function withLockOfAnotherSystem(place, options) {
  lockOfAnotherSystem(place);
  return trainsAfter(() => place.run('npm', ['ci']))(place, options);
}

/** As npm versions with the defect npm/cli#4828 write it: what is not for the system that made it is left out. */
function withIncompleteLock(place) {
  lockOfAnotherSystem(place);
  const file = join(place.project, 'package-lock.json');
  const lock = JSON.parse(readFileSync(file, 'utf8'));
  for (const name of Object.keys(lock.packages)) if (name.includes('@spikenode/')) delete lock.packages[name];
  writeFileSync(file, JSON.stringify(lock, null, 2));
  place.run('npm', ['ci']);
  return saysWhatIsMissing(place);
}

function withoutOptional(place) {
  place.run('npm', ['install', '--omit=optional', 'spikenode']);
  return saysWhatIsMissing(place);
}

const CASES = [
  { name: 'npm', node: node20, npm: npm.shipped20, test: trainsAfter(npmInstall()) },
  {
    name: 'ignore-scripts',
    node: node22,
    npm: npm.shipped22,
    test: trainsAfter(npmInstall('--ignore-scripts')),
  },
  { name: 'npm12-node24', node: node24, npm: npm.newest, test: trainsAfter(npmInstall()) },
  { name: 'npm12-node26', node: node26, npm: npm.newest, test: trainsAfter(npmInstall()) },
  {
    name: 'pnpm',
    node: node22,
    npm: npm.shipped22,
    pnpm: true,
    test: trainsAfter((place) => place.run('pnpm', ['add', 'spikenode']), ['pnpm', 'exec']),
  },
  { name: 'spaces', node: node24, npm: npm.newest, project: 'a project', test: trainsAfter(npmInstall()) },
  { name: 'omit-optional', node: node24, npm: npm.newest, test: withoutOptional },
  { name: 'lock-darwin', node: node24, npm: npm.newest, test: withLockOfAnotherSystem },
  { name: 'lock-incomplete', node: node24, npm: npm.newest, test: withIncompleteLock },
];

function tarballs(folder) {
  const files = ['spikenode-linux-x64', 'spikenode-libtorch-linux-x64', 'spikenode'].map(
    (name) => `${name}-${version}.tgz`,
  );
  const found = readdirSync(folder, { withFileTypes: true }).map((entry) => entry.name);
  const missing = files.filter((name) => !found.includes(name));
  if (missing.length > 0) throw new Error(`'${folder}' has no ${missing.join(', ')}; run 'npm run package'`);
  return files.map((name) => join(folder, name));
}

function perform(scratch, registry, options) {
  const folder = join(scratch, options.name);
  const place = new Place(folder, {
    node: nodeProgram(options.node),
    npm: npmFolder(options.npm),
    registry,
    ...(options.pnpm && { pnpm: realpathSync(tool('pnpm')) }),
    ...(options.project && { project: options.project }),
  });
  mkdirSync(join(place.project, 'check'));
  place.write('package.json', '{ "name": "try", "version": "1.0.0", "private": true }\n');
  const manager = options.pnpm ? `pnpm ${place.run('pnpm', ['--version']).trim()}` : `npm ${options.npm}`;
  const row = [options.name, options.node, manager];
  try {
    const compilers = place.compilers();
    if (compilers.length > 0) throw new Error(`${compilers.join(', ')} can be called`);
    const result = options.test(place, options);
    const size = `${Math.round(sizeOf(join(place.project, 'node_modules')) / 1e6)} MB`;
    return { row: [...row, 'ok', size, result], ok: true, place };
  } catch (error) {
    return { row: [...row, 'FAILED', '', `${error.message} (log: ${place.log})`], ok: false, place };
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      packages: { type: 'string', default: join(root, 'packages') },
      scratch: { type: 'string', default: tmpdir() },
      keep: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.filter((name) => !CASES.some((one) => one.name === name));
  if (unknown.length > 0)
    throw new Error(`no case '${unknown[0]}'; there are ${CASES.map(({ name }) => name).join(', ')}`);
  const files = tarballs(resolve(values.packages));
  const scratch = mkdtempSync(join(resolve(values.scratch), 'spikenode-install-'));
  const { url, stop } = await startRegistry(join(scratch, 'registry'));
  let failed = false;
  try {
    publish(url, join(scratch, 'registry'), files);
    const rows = [];
    for (const one of CASES.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
      process.stderr.write(`test:install: ${one.name}\n`);
      const { row, ok, place } = perform(scratch, url, one);
      rows.push(row);
      failed ||= !ok;
      if (rows.length === 1) console.log(`PATH holds: ${readdirSync(place.bin).join(' ')}\n`);
      if (ok && !values.keep) rmSync(place.folder, { recursive: true });
    }
    console.log(table([['case', 'Node', 'installed by', '', 'size', 'result'], ...rows]));
  } finally {
    stop();
    if (failed || values.keep) process.stderr.write(`test:install: the folders are kept in ${scratch}\n`);
    else rmSync(scratch, { recursive: true, force: true });
  }
  process.exitCode = failed ? 1 : 0;
}

main().catch((error) => {
  console.error(`test:install: ${error.message}`);
  process.exitCode = 1;
});
