import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { NativeLoadError } from '../errors.js';
import { type Binaries, findBinaries, platformPackage } from './binaries.js';
import { cacheRoot, compareVersions, hasNvidiaDriver, packageRoot } from './platform.js';

/** A libtorch that was found. */
export interface Libtorch {
  /** Has lib/libtorch_cpu.so. */
  readonly folder: string;
  /** Where it was found, for messages. */
  readonly origin: string;
  /** `2.13.0`; null where no file beside the library says it. */
  readonly version: string | null;
  /** The CUDA version of a build with CUDA, `13.0` (`unknown` where no file says it); null for a CPU build. */
  readonly cuda: string | null;
}

/** A folder that may hold a libtorch. */
export interface Place {
  readonly folder: string;
  readonly origin: string;
}

/** `2.13` of `2.13.0+cpu`: what decides whether binaries fit. */
export function minorOf(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function fromVersionJson(folder: string): { version: string; cuda: string | null } | null {
  const text = textOf(join(folder, 'version.json'));
  if (text === null) return null;
  try {
    const { torch, cuda } = JSON.parse(text) as { torch?: unknown; cuda?: unknown };
    return typeof torch === 'string'
      ? { version: torch, cuda: typeof cuda === 'string' ? cuda : null }
      : null;
  } catch {
    return null;
  }
}

/** `13.0` of `2.14.1+cu130`. */
function cudaOf(version: string): string | null {
  const [, major, minor] = /\+cu(\d+)(\d)$/.exec(version) ?? [];
  return major === undefined ? null : `${major}.${minor}`;
}

const HEADERS = ['include/torch/headeronly/version.h', 'include/torch/csrc/api/include/torch/version.h'];

/** The version that the files of a libtorch state: ours, Python's, the archive's, the headers'. */
function statedVersion(folder: string): { version: string; cuda: string | null } | null {
  const own = fromVersionJson(folder);
  if (own !== null) return own;
  const stated =
    /__version__ = '([^']+)'/.exec(textOf(join(folder, 'version.py')) ?? '')?.[1] ??
    textOf(join(folder, 'build-version'))?.trim() ??
    /#define TORCH_VERSION[\s\\]+"([^"]+)"/.exec(
      HEADERS.map((path) => textOf(join(folder, path)) ?? '').join(''),
    )?.[1];
  if (stated === undefined || !/^\d+\.\d+/.test(stated)) return null;
  return { version: stated.split('+')[0]!, cuda: cudaOf(stated) };
}

/**
 * The libtorch in a folder; nothing is opened.
 * @throws NativeLoadError, a sentence, where the folder has none
 */
export function inspectLibtorch(folder: string, origin: string): Libtorch {
  const library = join(folder, 'lib', 'libtorch_cpu.so');
  if (!existsSync(library)) throw new NativeLoadError(`'${library}' does not exist`);
  const stated = statedVersion(folder);
  const hasCuda = existsSync(join(folder, 'lib', 'libtorch_cuda.so'));
  return {
    folder,
    origin,
    version: stated?.version ?? null,
    cuda: hasCuda ? (stated?.cuda ?? 'unknown') : null,
  };
}

const CACHED = /^(\d+\.\d+\.\d+)-(cpu|cu\d+)-linux-x64$/;

/** What `spikenode libtorch install` and the set-up of a clone unpacked, newest first. */
function cached(): (Place & { cuda: boolean })[] {
  const cache = join(cacheRoot(), 'libtorch');
  let names: string[];
  try {
    names = readdirSync(cache);
  } catch {
    return [];
  }
  const found = names.flatMap((name) => {
    const [, version, kind] = CACHED.exec(name) ?? [];
    return version === undefined ? [] : [{ name, version, cuda: kind !== 'cpu' }];
  });
  return found
    .sort((a, b) => compareVersions(b.version, a.version))
    .map(({ name, cuda }) => ({
      // A CUDA build keeps the folders torch/ and nvidia/ beside each other: its libraries look there.
      folder: cuda ? join(cache, name, 'torch') : join(cache, name),
      origin: 'the cache of spikenode',
      cuda,
    }));
}

/** torch of the active virtual environment or conda environment. */
function activePython(): (Place & { cuda: boolean })[] {
  const environment = process.env['VIRTUAL_ENV'] || process.env['CONDA_PREFIX'];
  if (!environment) return [];
  let names: string[];
  try {
    names = readdirSync(join(environment, 'lib'));
  } catch {
    return [];
  }
  return names
    .filter((name) => /^python3\.\d+$/.test(name))
    .map((name) => join(environment, 'lib', name, 'site-packages', 'torch'))
    .filter((folder) => existsSync(join(folder, 'lib', 'libtorch_cpu.so')))
    .map((folder) => ({
      folder,
      origin: 'the active Python environment',
      cuda: existsSync(join(folder, 'lib', 'libtorch_cuda.so')),
    }));
}

/** The libtorch that this checkout or `spikenode build` compiled against. */
function builtAgainst(binaries: readonly Binaries[]): Place[] {
  const checkout = textOf(join(packageRoot(), 'build', '.built'));
  const own = binaries.flatMap(({ libtorch }) => (libtorch === null ? [] : [libtorch]));
  // One of the cache is cured by its own command.
  const cache = `${join(cacheRoot(), 'libtorch')}/`;
  return [...(checkout === null ? [] : [checkout.trim()]), ...own].map((folder) => ({
    folder,
    origin: folder.startsWith(cache) ? 'the cache of spikenode' : 'what the source build was made against',
  }));
}

/**
 * Where libtorch may be, the preferred place first; the folders need not exist. `SPIKENODE_LIBTORCH` stands alone.
 * Builds with CUDA come first where they can be used, else last: they map gigabytes.
 */
export function libtorchPlaces(
  binaries: readonly Binaries[] = findBinaries(),
  hasDriver: boolean = hasNvidiaDriver(),
): Place[] {
  const given = process.env['SPIKENODE_LIBTORCH'];
  if (given) return [{ folder: resolve(given), origin: 'SPIKENODE_LIBTORCH' }];
  const installed = [...cached(), ...activePython()];
  const cuda = installed.filter((place) => place.cuda);
  const wantsCuda = hasDriver && process.env['SPIKENODE_DEVICE'] !== 'cpu';
  const name = `@spikenode/libtorch-${process.platform}-${process.arch}`;
  const folder = platformPackage(name);
  const places = [
    ...builtAgainst(binaries),
    ...(wantsCuda ? cuda : []),
    ...(folder === null ? [] : [{ folder, origin: `the package ${name}` }]),
    ...installed.filter((place) => !place.cuda),
    ...['/usr/local/libtorch', '/opt/libtorch']
      .filter((path) => existsSync(path))
      .map((path) => ({ folder: path, origin: 'a usual place' })),
    ...(wantsCuda ? [] : cuda),
  ];
  const seen = new Set<string>();
  return places
    .filter((place) => !seen.has(place.folder) && seen.add(place.folder))
    .map((place) => ({ folder: place.folder, origin: place.origin }));
}

/** What is at `libtorchPlaces`, without those that turn out to have none. */
export function findLibtorch(): Libtorch[] {
  return libtorchPlaces().flatMap(({ folder, origin }) => {
    try {
      return [inspectLibtorch(folder, origin)];
    } catch {
      return [];
    }
  });
}
