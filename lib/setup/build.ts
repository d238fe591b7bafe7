// Compiles the native libraries from the sources in this package, for a libtorch that no published ones fit. Plain CMake:
// what a clone builds with (cmake-js) is not there where the package is installed.
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { SetupError } from '../errors.js';
import { findLibtorch, inspectLibtorch, type Libtorch, minorOf } from '../native/libtorch.js';
import {
  cacheRoot,
  compareVersions,
  makeFolderSync,
  packageRoot,
  platformProblem,
} from '../native/platform.js';

/** What `spikenode build` is asked to do. */
export interface BuildOptions {
  /** A folder with lib/ and include/ of one libtorch; by default the first one found that has headers. */
  readonly libtorch?: string;
  /** Whether the CUDA kernels are built too; the default is false. */
  readonly cuda?: boolean;
  /** Compilers that run at once; the default is the number of processors, 8 at most. */
  readonly jobs?: number;
  /** Whether a torch minor is tried for which the sources were not written; the default is false. */
  readonly force?: boolean;
  /** Told what happens, a line at a time. */
  readonly say: (line: string) => void;
}

interface Nvcc {
  readonly path: string;
  /** `13.0`. */
  readonly version: string;
}

interface Tools {
  readonly generator: 'Ninja' | 'Unix Makefiles';
  readonly nvcc: Nvcc | null;
}

/** The minors whose interfaces the sources were written for. */
const [OLDEST, NEWEST] = ['2.11', '2.14'];
const CMAKE = '3.18';
const RESULTS = ['loader.node', 'libspikenode.so', 'spikenode.node', 'build.json'];
const SHOWN_LINES = 20;

function fail(text: string): never {
  throw new SetupError(text);
}

function hasHeaders(folder: string): boolean {
  return existsSync(join(folder, 'include', 'ATen', 'ATen.h'));
}

function describe({ version, cuda, folder }: Libtorch): string {
  return `torch ${version ?? 'of unknown version'} (${cuda === null ? 'CPU' : `CUDA ${cuda}`}) in '${folder}'`;
}

/** The libtorch to build against. */
function chooseLibtorch({ libtorch, cuda = false }: BuildOptions): Libtorch {
  const obtain =
    "'npx spikenode libtorch install --headers' obtains one with headers, and every installed PyTorch has them (--libtorch DIR, " +
    'its folder torch in site-packages)';
  if (libtorch !== undefined) {
    const found = inspectLibtorch(resolve(libtorch), '--libtorch');
    if (hasHeaders(found.folder)) return found;
    fail(
      `'${found.folder}' has no include/ATen/ATen.h: a build needs the headers of libtorch too. ${obtain}.`,
    );
  }
  const all = findLibtorch();
  const suitable = all.find(({ folder, cuda: version }) => hasHeaders(folder) && (!cuda || version !== null));
  if (suitable !== undefined) return suitable;
  const seen = all.map((one) => `\n  ${describe(one)}: ${hasHeaders(one.folder) ? 'no CUDA' : 'no headers'}`);
  fail(
    `no libtorch to build against was found${cuda ? ' that has CUDA and headers' : ' that has headers'}: ${obtain}.` +
      `${seen.length > 0 ? ` Found:${seen.join('')}` : ''}`,
  );
}

/** The minor, if the sources are known to build against it. */
function checkVersion(libtorch: Libtorch, force: boolean): string {
  if (libtorch.version === null)
    fail(`the version of the libtorch in '${libtorch.folder}' is not known: it has no version.py.`);
  const minor = minorOf(libtorch.version);
  const isKnown = compareVersions(minor, OLDEST) >= 0 && compareVersions(minor, NEWEST) <= 0;
  if (isKnown || force) return minor;
  fail(
    `the native sources are written for torch ${OLDEST} to ${NEWEST}, and '${libtorch.folder}' is ${libtorch.version}: ` +
      'its C++ interface differs with every minor. Use one of those, or try with --force.',
  );
}

/** What a program prints, or null where it cannot be run or fails. */
function output(command: string, args: readonly string[], input = ''): string | null {
  const { status, stdout } = spawnSync(command, args, { input, encoding: 'utf8' });
  return status === 0 ? stdout : null;
}

function majorOf(version: string): string {
  return version.split('.')[0] ?? version;
}

/** The CUDA compiler for a libtorch, of the same major version. */
function findNvcc({ folder, cuda }: Libtorch): Nvcc {
  if (cuda === null) fail(`--cuda needs a libtorch with CUDA, and '${folder}' is a CPU build.`);
  const toolkit = cuda === 'unknown' ? 'the CUDA toolkit' : `the CUDA toolkit ${majorOf(cuda)}`;
  const named = process.env['CUDACXX'];
  for (const path of named ? [named] : ['nvcc', '/usr/local/cuda/bin/nvcc']) {
    const version = /release (\d+\.\d+)/.exec(output(path, ['--version']) ?? '')?.[1];
    if (version === undefined) continue;
    if (cuda === 'unknown' || majorOf(version) === majorOf(cuda)) return { path, version };
    fail(
      `'${path}' is of CUDA ${version}, and the libtorch in '${folder}' of CUDA ${cuda}: set CUDACXX to the nvcc of ${toolkit}.`,
    );
  }
  const seen = named ? `CUDACXX='${named}' does not run` : 'there is none in PATH';
  fail(`--cuda needs nvcc of ${toolkit}, and ${seen}: install the toolkit, or set CUDACXX to its nvcc.`);
}

/** Everything that the build calls, found to work before anything is compiled. */
function findTools(libtorch: Libtorch, cuda: boolean): Tools {
  const version = /version (\d+\.\d+(?:\.\d+)?)/.exec(output('cmake', ['--version']) ?? '')?.[1];
  if (version === undefined)
    fail(
      `a build needs CMake ${CMAKE} or newer, and there is no cmake in PATH: install the package cmake of your system ` +
        `(or 'pip install cmake').`,
    );
  if (compareVersions(version, CMAKE) < 0)
    fail(`a build needs CMake ${CMAKE} or newer, and the cmake in PATH is ${version}: 'pip install cmake'.`);
  const compiler = process.env['CXX'] || 'c++';
  const sample =
    '#include <concepts>\n#include <omp.h>\ntemplate <std::integral T> T same(T x) { return x; }\n';
  if (output(compiler, ['-std=c++20', '-fopenmp', '-fsyntax-only', '-x', 'c++', '-'], sample) === null)
    fail(
      `a build needs a C++20 compiler with OpenMP (GCC 11 or newer, say), and '${compiler}' is not there or is none: install the ` +
        'package g++ of your system, or set CXX to a newer compiler.',
    );
  const hasNinja = output('ninja', ['--version']) !== null;
  if (!hasNinja && output('make', ['--version']) === null)
    fail(
      `a build needs ninja or make, and neither is in PATH: install the package ninja-build or make of your system.`,
    );
  return {
    generator: hasNinja ? 'Ninja' : 'Unix Makefiles',
    nvcc: cuda ? findNvcc(libtorch) : null,
  };
}

/** The folder of node_api.h, wherever npm has put that package. */
function nodeApiHeaders(): string {
  const { include_dir: folder } = createRequire(import.meta.url)('node-api-headers') as {
    include_dir: string;
  };
  return folder;
}

/** Runs a step of the build; its output goes to the log. */
async function step(command: string, args: readonly string[], log: string): Promise<void> {
  const file = openSync(log, 'a');
  const child = spawn(command, args, { stdio: ['ignore', file, file] });
  const status = await new Promise<number | string>((done, failed) => {
    child.once('error', failed);
    child.once('exit', (code, signal) => done(code ?? signal ?? 1));
  }).finally(() => closeSync(file));
  if (status === 0) return;
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-SHOWN_LINES);
  fail(
    `the build failed ('${command} ${args[0]} ...', ${status}). The last lines of '${log}':\n${lines.join('\n')}`,
  );
}

/** Removes what builds left behind that were killed; the process is in the folder's name. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /^\.partial-(\d+)-/.exec(name)?.[1];
    if (pid === undefined) continue;
    try {
      process.kill(Number(pid), 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ESRCH')
        rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
}

/** Puts a finished folder where the loader looks, at once; a process that uses the old one keeps its files. */
function publish(finished: string, target: string): void {
  const old = `${finished}-old`;
  for (;;) {
    try {
      if (existsSync(target)) renameSync(target, old);
      renameSync(finished, target);
      break;
    } catch (error) {
      // Another build was between these lines.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error;
      rmSync(old, { recursive: true, force: true });
    }
  }
  rmSync(old, { recursive: true, force: true });
}

/** Notes in build.json what was built against, which the loader then prefers: it need not be in a usual place. */
function nameLibtorch(file: string, libtorch: string): void {
  const description = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, `${JSON.stringify({ ...description, libtorch }, null, 2)}\n`);
}

/** The folder of this version's builds, and in it one for this build, made. */
function workFolder(): { builds: string; work: string } {
  const manifest = readFileSync(join(packageRoot(), 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  const builds = join(cacheRoot(), 'binaries', version);
  try {
    makeFolderSync(builds);
    removeLeftovers(builds);
    return { builds, work: mkdtempSync(join(builds, `.partial-${process.pid}-`)) };
  } catch (error) {
    fail(
      `'${builds}' cannot be written (${(error as Error).message}): set SPIKENODE_CACHE to a folder that can.`,
    );
  }
}

/**
 * Builds the native libraries and puts them where the loader finds them. Takes minutes.
 * @returns The folder of the libraries.
 * @throws SetupError where something is missing that a build needs, and where a compiler fails.
 */
export async function build(options: BuildOptions): Promise<string> {
  const { cuda = false, force = false, jobs = Math.min(availableParallelism(), 8), say } = options;
  const problem = platformProblem();
  if (problem !== null) fail(problem);
  const libtorch = chooseLibtorch(options);
  const minor = checkVersion(libtorch, force);
  const { generator, nvcc } = findTools(libtorch, cuda);
  const { builds, work } = workFolder();
  const kind = nvcc === null ? 'cpu' : `cu${nvcc.version.replace('.', '')}`;
  const target = join(builds, `torch-${minor}-${kind}`);
  const log = `${target}.log`;
  try {
    rmSync(log, { force: true });
    say(`building against ${describe(libtorch)}; this takes minutes, and '${log}' shows how it goes`);
    const finished = join(work, basename(target));
    const configuration = {
      CMAKE_BUILD_TYPE: 'Release',
      CMAKE_LIBRARY_OUTPUT_DIRECTORY: finished,
      SPIKENODE_LIBTORCH: libtorch.folder,
      SPIKENODE_NODE_API: nodeApiHeaders(),
      SPIKENODE_CUDA: cuda ? 'ON' : 'OFF',
      ...(nvcc === null ? {} : { CMAKE_CUDA_COMPILER: nvcc.path }),
    };
    const definitions = Object.entries(configuration).map(([name, value]) => `-D${name}=${value}`);
    const tree = join(work, 'build');
    await step('cmake', ['-S', packageRoot(), '-B', tree, '-G', generator, ...definitions], log);
    await step('cmake', ['--build', tree, '--parallel', String(jobs)], log);
    const missing = [...RESULTS, ...(cuda ? ['libspikenode_cuda.so'] : [])].filter(
      (name) => !existsSync(join(finished, name)),
    );
    if (missing.length > 0) fail(`the build made no ${missing.join(', ')}; its log is '${log}'.`);
    nameLibtorch(join(finished, 'build.json'), libtorch.folder);
    publish(finished, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  say(`built '${target}'`);
  return target;
}
