import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { NativeLoadError } from '../errors.js';
import type { Addon } from './addon.js';
import { type LibtorchCandidate, libtorchCandidates, packageRoot, TORCH_MINOR } from './libtorch.js';
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

function openLibtorch(loader: Loader, candidate: LibtorchCandidate): boolean {
  const lib = join(candidate.folder, 'lib');
  if (!existsSync(join(lib, 'libtorch_cpu.so'))) {
    throw new NativeLoadError(`${candidate.origin}: '${candidate.folder}' has no lib/libtorch_cpu.so`);
  }
  const isCudaBuild = existsSync(join(lib, 'libtorch_cuda.so'));
  const folders = isCudaBuild ? libraryFolders(candidate.folder) : [lib];
  openAll(loader, findLibraries(folders, isCudaBuild ? CUDA_BASE_LIBRARIES : CPU_LIBRARIES));
  const withCuda = isCudaBuild && process.env['SPIKENODE_DEVICE'] !== 'cpu';
  if (withCuda) openAll(loader, findLibraries(folders, CUDA_LIBRARIES));
  return withCuda;
}

function requireSupportedPlatform(): void {
  const header = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = header.header?.glibcVersionRuntime;
  if (process.platform === 'linux' && process.arch === 'x64' && glibc !== undefined) return;
  const libc = process.platform === 'linux' && glibc === undefined ? ' without glibc' : '';
  throw new NativeLoadError(
    `spikenode computes on Linux x64 with glibc 2.28 or newer; this is ${process.platform} ${process.arch}${libc}. ` +
      `Configuration checks and data reading work everywhere.`,
  );
}

/** The folder of our own binaries; SPIKENODE_BINARIES names another build. */
function binaryFolder(): string {
  const folder = process.env['SPIKENODE_BINARIES'] ?? join(packageRoot(), 'build', 'Release');
  if (existsSync(join(folder, 'spikenode.node'))) return folder;
  throw new NativeLoadError(
    `no native binaries: '${join(folder, 'spikenode.node')}' does not exist. In a clone run 'npm run setup'.`,
  );
}

function openFirst(loader: Loader, candidates: readonly LibtorchCandidate[]): boolean {
  const failures: string[] = [];
  for (const candidate of candidates) {
    try {
      return openLibtorch(loader, candidate);
    } catch (error) {
      if (!(error instanceof NativeLoadError)) throw error;
      failures.push(`  ${candidate.origin}: ${error.message}`);
    }
  }
  const tried = failures.length > 0 ? `Tried:\n${failures.join('\n')}\n` : 'No libtorch was found.\n';
  throw new NativeLoadError(
    `libtorch ${TORCH_MINOR} could not be loaded. ${tried}Set SPIKENODE_LIBTORCH to a folder with lib/libtorch_cpu.so of torch ` +
      `${TORCH_MINOR}, or run 'npm run setup' in a clone.`,
  );
}

function load(): Addon {
  requireSupportedPlatform();
  const folder = binaryFolder();
  const require = createRequire(import.meta.url);
  const loader = require(join(folder, 'loader.node')) as Loader;
  const isFirst = !loader.loaded().some(([path]) => basename(path) === 'libtorch_cpu.so');
  const withCuda = openFirst(loader, libtorchCandidates(folder));
  openAll(loader, [join(folder, 'libspikenode.so')]);
  const cuda = join(folder, 'libspikenode_cuda.so');
  if (withCuda && existsSync(cuda)) openAll(loader, [cuda]);
  let addon: Addon;
  try {
    addon = require(join(folder, 'spikenode.node')) as Addon;
  } catch (error) {
    throw new NativeLoadError(
      `'${join(folder, 'spikenode.node')}' could not be loaded; was it built against another torch than ${TORCH_MINOR}? ${(error as Error).message}`,
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
