import { NativeLoadError } from '../errors.js';
import { type Binaries, surveyBinaries, type UnusableBinaries } from './binaries.js';
import { inspectLibtorch, type Libtorch, libtorchPlaces, minorOf } from './libtorch.js';
import { compareVersions, glibcVersion } from './platform.js';

/** What is loaded together. */
export interface Choice {
  readonly binaries: Binaries;
  readonly libtorch: Libtorch;
  /** Whether the CUDA libraries and libspikenode_cuda are opened too. */
  readonly withCuda: boolean;
}

/** A libtorch that was found and passed over, and why. */
export interface Rejected {
  readonly libtorch: Libtorch;
  readonly reason: string;
}

/** What was found and what of it is used; nothing is opened. */
export interface Chosen {
  /** null where nothing fits. */
  readonly choice: Choice | null;
  readonly rejected: Rejected[];
  readonly unusable: UnusableBinaries[];
  readonly binaries: Binaries[];
}

/** `SPIKENODE_DEVICE`: `cpu` never opens CUDA libraries, `cuda` demands them, empty lets the files decide. */
export type DeviceRequest = 'cpu' | 'cuda' | '';

/**
 * `SPIKENODE_DEVICE`.
 * @throws NativeLoadError for another value
 */
export function requestedDevice(): DeviceRequest {
  const value = process.env['SPIKENODE_DEVICE'] ?? '';
  if (value === 'cpu' || value === 'cuda' || value === '') return value;
  throw new NativeLoadError(`SPIKENODE_DEVICE must be 'cpu', 'cuda' or empty, got '${value}'`);
}

function cudaMajor(version: string): string {
  return version.split('.')[0]!;
}

/** Why a libtorch with CUDA and binaries cannot drive a GPU together; null where they can. */
export function cudaMismatch(binaries: Binaries, libtorch: Libtorch): string | null {
  if (libtorch.cuda === null)
    return `libtorch in '${libtorch.folder}' (${libtorch.origin}) is a build for the CPU`;
  if (binaries.cuda === null)
    return `the native files of spikenode in '${binaries.folder}' have no libspikenode_cuda.so`;
  if (libtorch.cuda !== 'unknown' && cudaMajor(libtorch.cuda) !== cudaMajor(binaries.cuda.version))
    return `libtorch in '${libtorch.folder}' is for CUDA ${libtorch.cuda}, libspikenode_cuda.so in '${binaries.folder}' for CUDA ${binaries.cuda.version}`;
  return null;
}

/** The binaries for a libtorch, or why there are none. */
function match(
  libtorch: Libtorch,
  all: readonly Binaries[],
  device: DeviceRequest,
  glibc: string | null,
): Choice | string {
  const { version } = libtorch;
  const ofMinor = version === null ? all : all.filter(({ torch }) => minorOf(torch) === minorOf(version));
  if (ofMinor.length === 0) {
    const minors = [...new Set(all.map(({ torch }) => minorOf(torch)))].join(', ');
    return `it is torch ${version}; the native files of spikenode are for ${minors || 'none'}`;
  }
  const runnable = ofMinor.filter(
    (binaries) => binaries.glibc === null || glibc === null || compareVersions(binaries.glibc, glibc) <= 0,
  );
  const [first] = runnable;
  if (first === undefined)
    return `the native files of spikenode for it (${ofMinor[0]!.origin}) need glibc ${ofMinor[0]!.glibc}, this system has ${glibc}`;
  const driving = runnable.find((binaries) => cudaMismatch(binaries, libtorch) === null);
  if (device !== 'cpu' && driving !== undefined) return { binaries: driving, libtorch, withCuda: true };
  if (device === 'cuda') return `SPIKENODE_DEVICE=cuda needs CUDA: ${cudaMismatch(first, libtorch)}`;
  return { binaries: first, libtorch, withCuda: false };
}

/** The first libtorch for which there are binaries; a pure function of what was found. */
export function pair(
  found: readonly Libtorch[],
  binaries: readonly Binaries[],
  device: DeviceRequest,
  glibc: string | null,
): { choice: Choice | null; rejected: Rejected[] } {
  const rejected: Rejected[] = [];
  for (const libtorch of found) {
    const result = match(libtorch, binaries, device, glibc);
    if (typeof result !== 'string') return { choice: result, rejected };
    rejected.push({ libtorch, reason: result });
  }
  return { choice: null, rejected };
}

/**
 * What would be loaded here, and what was passed over; nothing is opened.
 * @throws NativeLoadError for a wrong `SPIKENODE_DEVICE`
 */
export function choose(): Chosen {
  const device = requestedDevice();
  const { binaries, unusable } = surveyBinaries();
  const found: Libtorch[] = [];
  const rejected: Rejected[] = [];
  const places = libtorchPlaces(binaries);
  for (const { folder, origin } of places) {
    try {
      found.push(inspectLibtorch(folder, origin));
    } catch (error) {
      rejected.push({
        libtorch: { folder, origin, version: null, cuda: null },
        reason: (error as Error).message,
      });
    }
  }
  const result = pair(found, binaries, device, glibcVersion());
  const order = places.map(({ folder }) => folder);
  rejected.push(...result.rejected);
  rejected.sort((a, b) => order.indexOf(a.libtorch.folder) - order.indexOf(b.libtorch.folder));
  return { choice: result.choice, rejected, unusable, binaries };
}
