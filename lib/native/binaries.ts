import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { NativeLoadError } from '../errors.js';
import { cacheRoot, packageRoot } from './platform.js';

/** A folder with our native files, as its build.json describes it. */
export interface Binaries {
  /** Has loader.node, libspikenode.so, spikenode.node and, where `cuda` is not null, libspikenode_cuda.so. */
  readonly folder: string;
  /** Where it was found, for messages. */
  readonly origin: string;
  /** The torch it was built against, `2.13.0`. */
  readonly torch: string;
  /** The CUDA version of libspikenode_cuda.so and the compute capabilities it has code for (`90` is 9.0); null without it. */
  readonly cuda: { readonly version: string; readonly architectures: readonly string[] } | null;
  /** The oldest glibc it runs on; null for what was built on this machine. */
  readonly glibc: string | null;
  /** The libtorch it was built against, for a build of this machine. */
  readonly libtorch: string | null;
}

/** A folder that has our name on it but cannot be used. */
export interface UnusableBinaries {
  readonly folder: string;
  readonly origin: string;
  readonly reason: string;
}

const FILES = ['loader.node', 'libspikenode.so', 'spikenode.node'];

/** The folder of an installed optional package such as `@spikenode/linux-x64`; null where it is not installed. */
export function platformPackage(name: string): string | null {
  try {
    return dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
  } catch {
    return null;
  }
}

/**
 * The binaries in a folder.
 * @throws NativeLoadError that names what is missing or damaged
 */
export function inspectBinaries(folder: string, origin: string): Binaries {
  const missing = FILES.find((name) => !existsSync(join(folder, name)));
  if (missing !== undefined) throw new NativeLoadError(`'${join(folder, missing)}' does not exist`);
  const file = join(folder, 'build.json');
  let build: { torch?: unknown; cuda?: Binaries['cuda']; glibc?: string; libtorch?: string };
  try {
    build = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new NativeLoadError(`'${file}' cannot be read: ${(error as Error).message}`);
  }
  if (typeof build?.torch !== 'string')
    throw new NativeLoadError(`'${file}' does not say for which torch the files beside it are`);
  return {
    folder,
    origin,
    torch: build.torch,
    cuda: build.cuda ? { ...build.cuda, architectures: build.cuda.architectures ?? [] } : null,
    glibc: build.glibc ?? null,
    libtorch: build.libtorch ?? null,
  };
}

/** Subfolders `torch-*` of a folder, the newest torch first. */
function torchFolders(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .filter((name) => name.startsWith('torch-'))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((name) => join(folder, name));
}

function spikenodeVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string })
    .version;
}

function places(): { folder: string; origin: string }[] {
  const given = process.env['SPIKENODE_BINARIES'];
  if (given) return [{ folder: resolve(given), origin: 'SPIKENODE_BINARIES' }];
  const checkout = join(packageRoot(), 'build', 'Release');
  const platform = platformPackage(`@spikenode/${process.platform}-${process.arch}`);
  const built = join(cacheRoot(), 'binaries', spikenodeVersion());
  return [
    ...(existsSync(checkout) ? [{ folder: checkout, origin: 'the build of this checkout' }] : []),
    // Before the package: who builds has a reason, such as a GPU that the package has no kernels for.
    ...torchFolders(built).map((folder) => ({ folder, origin: "'spikenode build'" })),
    ...(platform === null ? [] : torchFolders(platform)).map((folder) => ({
      folder,
      origin: `the package @spikenode/${process.platform}-${process.arch}`,
    })),
  ];
}

/**
 * Our binaries in the order in which they are preferred, and the folders that should have some but cannot be used:
 * `SPIKENODE_BINARIES` (then only that), the checkout's build, what `spikenode build` made, the platform package.
 */
export function surveyBinaries(): { binaries: Binaries[]; unusable: UnusableBinaries[] } {
  const binaries: Binaries[] = [];
  const unusable: UnusableBinaries[] = [];
  for (const { folder, origin } of places()) {
    try {
      binaries.push(inspectBinaries(folder, origin));
    } catch (error) {
      unusable.push({ folder, origin, reason: (error as Error).message });
    }
  }
  return { binaries, unusable };
}

/** The usable ones of `surveyBinaries`. */
export function findBinaries(): Binaries[] {
  return surveyBinaries().binaries;
}
