import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { NativeLoadError } from '../errors.js';
import type { Choice } from './choose.js';
import { elfProblem } from './elf.js';
import { reinstall } from './explain.js';

/** Libraries of libtorch in the order in which they must be opened (from their NEEDED entries). */
const CPU_LIBRARIES = [/^libgomp[-.]/, /^libc10\.so$/, /^libtorch_cpu\.so$/];
/** The CPU part of a CUDA build itself needs cudart and cupti. */
const CUDA_BASE_LIBRARIES = [
  /^libgomp[-.]/,
  /^libcudart[-.]/,
  /^libcupti[-.]/,
  /^libc10\.so$/,
  /^libtorch_cpu\.so$/,
];
/**
 * libtorch_nvshmem is not among them: it uses c10_cuda without naming it, so it loads only along with torch_cuda, which
 * finds it beside itself.
 */
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
  /^libnvrtc(?:-[0-9a-f]+)?\.so/,
  /^libnvshmem_host[-.]/,
  /^libc10_cuda\.so$/,
  /^libtorch_cuda\.so$/,
];
/** Those of which one process must not have two; of the others any copy serves that is there. */
const SINGLE = /^lib(?:c10|c10_cuda|torch_cpu|torch_cuda|spikenode|spikenode_cuda)\.so$/;

/** Whether a second file of this name in one process would share symbols with the first by chance. */
export function mustBeSingle(path: string): boolean {
  return SINGLE.test(basename(path));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    throw new NativeLoadError(`'${folder}' cannot be read: ${(error as Error).message}`);
  }
}

/** Folders with the libraries of a libtorch: its own, and for CUDA those of the nvidia wheels beside it. */
function libraryFolders(folder: string, cuda: boolean): string[] {
  const nvidia = join(folder, '..', 'nvidia');
  const wheels = cuda && existsSync(nvidia) ? namesIn(nvidia).map((name) => join(nvidia, name, 'lib')) : [];
  return [join(folder, 'lib'), ...wheels.filter((wheel) => existsSync(wheel))];
}

function findLibraries(folders: readonly string[], patterns: readonly RegExp[]): string[] {
  const files = folders.flatMap((folder) => namesIn(folder).map((name) => join(folder, name)));
  return patterns.flatMap((pattern) => {
    const file = files.find((candidate) => pattern.test(basename(candidate)));
    return file === undefined ? [] : [file];
  });
}

/** Every shared library that is opened for a choice, in that order; loader.node and the addon are not among them. */
export function librariesOf({ binaries, libtorch, withCuda }: Choice): string[] {
  const isCuda = libtorch.cuda !== null;
  const folders = libraryFolders(libtorch.folder, isCuda);
  return [
    ...findLibraries(folders, isCuda ? CUDA_BASE_LIBRARIES : CPU_LIBRARIES),
    ...(withCuda ? findLibraries(folders, CUDA_LIBRARIES) : []),
    join(binaries.folder, 'libspikenode.so'),
    ...(withCuda ? [join(binaries.folder, 'libspikenode_cuda.so')] : []),
  ];
}

/**
 * Looks at every file of a choice without opening it.
 * @throws NativeLoadError that names the first one that is missing, truncated or unreadable
 */
export function checkFiles(choice: Choice): void {
  const { binaries, libtorch } = choice;
  const own = ['loader.node', 'spikenode.node'].map((name) => join(binaries.folder, name));
  const needed = ['libc10.so', 'libtorch_cpu.so'].map((name) => join(libtorch.folder, 'lib', name));
  for (const path of new Set([...needed, ...own, ...librariesOf(choice)])) {
    const problem = elfProblem(path);
    if (problem === null) continue;
    const owner = path.startsWith(`${binaries.folder}/`) ? binaries : libtorch;
    throw new NativeLoadError(`'${path}' (${owner.origin}) ${problem}. ${reinstall(owner)}`);
  }
}
