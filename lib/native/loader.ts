import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { NativeLoadError } from '../errors.js';
import type { Addon } from './addon.js';
import { type Choice, choose } from './choose.js';
import { platformProblem } from './platform.js';
import { defaultThreadCount } from './threads.js';

interface Loader {
  /** Opens a shared library; null, or the dynamic linker's message. */
  open(path: string): string | null;
  /** Path and `device:inode` of every shared object of the process. */
  loaded(): [string, string][];
}

/**
 * Libraries of libtorch in the order in which they must be opened (from their NEEDED entries). The CPU
 * part of a CUDA build itself needs cudart and cupti; the rest is left out when the CPU is forced.
 */
const CPU_LIBRARIES = [/^libgomp[-.]/, /^libc10\.so$/, /^libtorch_cpu\.so$/];
const CUDA_BASE_LIBRARIES = [
  /^libgomp[-.]/,
  /^libcudart[-.]/,
  /^libcupti[-.]/,
  /^libc10\.so$/,
  /^libtorch_cpu\.so$/,
];
const CUDA_LIBRARIES = [
  /^libnvJitLink[-.]/,
  /^libcublasLt[-.]/,
  /^libcublas[-.]/,
  /^libcusparse[-.]/,
  /^libcusparseLt[-.]/,
  /^libcufft[-.]/,
  /^libcurand[-.]/,
  /^libcusolver[-.]/,
  /^libcudnn\.so/,
  /^libnccl[-.]/,
  /^libcufile[-.]/,
  /^libnvshmem_host[-.]/,
  /^libc10_cuda\.so$/,
  /^libtorch_cuda\.so$/,
];

/** Folders with the CUDA libraries of a libtorch: its own, and those of the nvidia wheels beside it. */
function libraryFolders(libtorch: string): string[] {
  const nvidia = join(libtorch, '..', 'nvidia');
  const wheels = existsSync(nvidia)
    ? readdirSync(nvidia)
        .map((name) => join(nvidia, name, 'lib'))
        .filter((folder) => existsSync(folder))
    : [];
  return [join(libtorch, 'lib'), ...wheels];
}

function findLibraries(folders: readonly string[], patterns: readonly RegExp[]): string[] {
  const files = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  return patterns.flatMap((pattern) => {
    const file = files.find((candidate) => pattern.test(basename(candidate)));
    return file === undefined ? [] : [file];
  });
}

function identity(path: string): string {
  const file = statSync(realpathSync(path), { bigint: true });
  return `${file.dev}:${file.ino}`;
}

/** Two copies of libtorch or of our operators in one process would share symbols by chance. */
function refuseSecondCopy(loader: Loader, path: string): void {
  const name = basename(path);
  const other = loader.loaded().find(([loaded, id]) => basename(loaded) === name && id !== identity(path));
  if (other === undefined) return;
  throw new NativeLoadError(
    `${name} is already in this process from '${other[0]}', so '${path}' cannot be loaded too. ` +
      `Use one copy of spikenode, and set SPIKENODE_LIBTORCH to the libtorch that is already loaded.`,
  );
}

function openAll(loader: Loader, paths: readonly string[]): void {
  for (const path of paths) {
    refuseSecondCopy(loader, path);
    const failure = loader.open(path);
    if (failure !== null) throw new NativeLoadError(`'${path}' could not be opened: ${failure}`);
  }
}

function openLibtorch(loader: Loader, { libtorch, withCuda }: Choice): void {
  const lib = join(libtorch.folder, 'lib');
  const folders = libtorch.cuda === null ? [lib] : libraryFolders(libtorch.folder);
  openAll(loader, findLibraries(folders, libtorch.cuda === null ? CPU_LIBRARIES : CUDA_BASE_LIBRARIES));
  if (withCuda) openAll(loader, findLibraries(folders, CUDA_LIBRARIES));
}

function load(): Addon {
  const problem = platformProblem();
  if (problem !== null) throw new NativeLoadError(problem);
  const chosen = choose();
  const { choice } = chosen;
  if (choice === null) {
    const tried = [...chosen.unusable, ...chosen.rejected.map((r) => ({ ...r.libtorch, reason: r.reason }))];
    const lines = tried.map(({ origin, folder, reason }) => `  ${folder} (${origin}): ${reason}`);
    throw new NativeLoadError(
      `libtorch could not be loaded. Tried:\n${lines.join('\n')}\nRun 'npm run setup' in a clone, or set SPIKENODE_LIBTORCH.`,
    );
  }
  const { folder } = choice.binaries;
  const require = createRequire(import.meta.url);
  const loader = require(join(folder, 'loader.node')) as Loader;
  const isFirst = !loader.loaded().some(([path]) => basename(path) === 'libtorch_cpu.so');
  openLibtorch(loader, choice);
  openAll(loader, [join(folder, 'libspikenode.so')]);
  if (choice.withCuda) openAll(loader, [join(folder, 'libspikenode_cuda.so')]);
  let addon: Addon;
  try {
    addon = require(join(folder, 'spikenode.node')) as Addon;
  } catch (error) {
    throw new NativeLoadError(
      `'${join(folder, 'spikenode.node')}' could not be loaded: ${(error as Error).message}`,
    );
  }
  if (!addon.registered()) {
    throw new NativeLoadError(
      'another copy of spikenode registered its operators in this process first; use one copy',
    );
  }
  if (isMainThread) process.once('exit', () => addon.stopWorkers());
  if (isFirst) addon.setNumThreads(defaultThreadCount());
  return addon;
}

let loaded: Addon | undefined;
let failure: unknown;

/**
 * The addon, loaded on the first call.
 * @throws NativeLoadError with what was tried and what to do.
 */
export function nativeAddon(): Addon {
  if (loaded !== undefined) return loaded;
  if (failure !== undefined) throw failure;
  try {
    loaded = load();
    return loaded;
  } catch (error) {
    failure = error;
    throw error;
  }
}
