import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  statfsSync,
} from 'node:fs';
import { cpus, release, type as systemType, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { platformPackage, surveyBinaries } from '../native/binaries.js';
import { memoryQuota } from '../native/cgroup.js';
import { type Chosen, choose } from '../native/choose.js';
import { cudaProblem } from '../native/cuda.js';
import { librariesOf } from '../native/libraries.js';
import { findLibtorch } from '../native/libtorch.js';
import {
  cacheRoot,
  glibcVersion,
  hasNvidiaDriver,
  isClone,
  packageRoot,
  platformProblem,
} from '../native/platform.js';
import { defaultThreadCount, threadLimits } from '../native/threads.js';
import type { DoctorFacts, FoundBinaries, FoundLibtorch, LoadResult } from './doctor.js';
import { environmentFacts } from './environment.js';
import { cudaRuntime } from './gpus.js';

/** What the child says before its result, which is JSON. */
export const LOADED = 'spikenode doctor: loaded ';
export const FAILED = 'spikenode doctor: failed ';
/** What the child finds out. */
export type Loaded = Omit<LoadResult, 'libraries'>;

// The first load of a pair is tried in a process of its own, which may take up to a minute by itself.
const TIME_LIMIT_MS = 90_000;

const NOTHING: Loaded = {
  error: null,
  torch: null,
  kernels: null,
  threads: null,
  memoryLimit: null,
  gpus: 0,
  gpuError: null,
};

/** The value, or null where it cannot be had. */
function attempt<T>(get: () => T): T | null {
  try {
    return get();
  } catch {
    return null;
  }
}

function failed(error: string): Loaded {
  return { ...NOTHING, error };
}

function loadInChild(): Loaded {
  // Without this process's flags, as in the trial that the loader makes: a debugger has no place there.
  const { NODE_OPTIONS: _, ...env } = process.env;
  const script = fileURLToPath(new URL('./doctor-child.js', import.meta.url));
  const { stdout, stderr, status, signal, error } = spawnSync(process.execPath, [script], {
    env: { ...env, ELECTRON_RUN_AS_NODE: '1' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: TIME_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const said = (mark: string): unknown =>
    stdout?.startsWith(mark) ? attempt(() => JSON.parse(stdout.slice(mark.length))) : null;
  const loaded = said(LOADED) as Loaded | null;
  if (status === 0 && loaded !== null) return loaded;
  const why = said(FAILED) as string | null;
  if (why !== null) return failed(why);
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ETIMEDOUT') return failed(`loading did not end within ${TIME_LIMIT_MS / 1000} seconds`);
  if (error !== undefined) return failed(`no process can be started to load in (${code ?? error.message})`);
  const last = stderr.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
  const how = signal === null ? `exit code ${status}` : signal;
  return failed(`the process that loaded and computed ended with ${how}${last === '' ? '' : `: ${last}`}`);
}

function bytesBelow(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    return sum + (entry.isDirectory() ? bytesBelow(path) : lstatSync(path).size);
  }, 0);
}

function libtorchFacts(chosen: Chosen | null): FoundLibtorch[] {
  const cache = join(cacheRoot(), 'libtorch');
  const used = chosen?.choice?.libtorch.folder;
  const rejected = chosen?.rejected ?? [];
  const passedOver = rejected.map(({ libtorch }) => libtorch.folder);
  const others = findLibtorch().filter(({ folder }) => !passedOver.includes(folder));
  return [...rejected, ...others.map((libtorch) => ({ libtorch, reason: null }))].map(
    ({ libtorch, reason }) => {
      const { folder } = libtorch;
      const isUsed = folder === used;
      const place = cacheEntry(cache, folder);
      return {
        ...libtorch,
        bytes: place === null ? null : attempt(() => bytesBelow(place)),
        used: isUsed,
        reason: isUsed
          ? null
          : (reason ?? (used === undefined ? 'nothing was chosen' : 'the one that is used comes first')),
      };
    },
  );
}

/** The folder right below the cache in which a libtorch lies; null for one elsewhere. */
function cacheEntry(cache: string, folder: string): string | null {
  if (!folder.startsWith(`${cache}/`)) return null;
  const [name = ''] = folder.slice(cache.length + 1).split('/');
  return join(cache, name);
}

function binariesFacts(chosen: Chosen | null): FoundBinaries[] {
  const { binaries, unusable } = chosen ?? surveyBinaries();
  const used = chosen?.choice?.binaries.folder;
  return [
    ...binaries.map(({ folder, origin, torch, cuda, glibc }) => ({
      folder,
      origin,
      torch,
      cuda,
      glibc,
      used: folder === used,
      problem: null,
    })),
    ...unusable.map(({ folder, origin, reason }) => ({
      folder,
      origin,
      torch: null,
      cuda: null,
      glibc: null,
      used: false,
      problem: reason,
    })),
  ];
}

/** The folder, or of those around it the nearest that is there. */
function nearestThere(folder: string): string {
  const above = dirname(folder);
  return attempt(() => lstatSync(folder)) !== null || above === folder ? folder : nearestThere(above);
}

const WHY: Readonly<Record<string, string>> = {
  EROFS: 'is on a disk that cannot be written',
  ENOSPC: 'is on a disk that is full',
  EDQUOT: 'is beyond the quota of this user',
  ENOTDIR: 'is a file',
};

/**
 * Why nothing can be written into a folder, or made where it is not there yet; null where it can. Tries it with an empty
 * folder that does not stay: permissions do not tell of disks, and mean nothing to root.
 */
export function writingProblem(folder: string): string | null {
  const place = nearestThere(folder);
  if (!existsSync(place)) return `'${place}' is a link to nothing`;
  try {
    rmdirSync(mkdtempSync(join(place, '.spikenode-doctor-')));
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return `'${place}' ${WHY[code ?? ''] ?? `cannot be written by this user (${code})`}`;
  }
}

function cacheFacts(): DoctorFacts['cache'] {
  const folder = cacheRoot();
  const real = attempt(() => realpathSync(folder));
  const disk = attempt(() => statfsSync(nearestThere(folder)));
  return {
    folder,
    realFolder: real === null || real === folder ? null : real,
    problem: writingProblem(folder),
    free: disk === null ? null : disk.bavail * disk.bsize,
  };
}

function processorFacts(): DoctorFacts['processor'] {
  const info = attempt(() => readFileSync('/proc/cpuinfo', 'utf8')) ?? '';
  const flags = new Set(/^flags\s*:(.*)$/m.exec(info)?.[1]?.trim().split(/\s+/));
  const avx512 = ['avx512f', 'avx512dq', 'avx512bw', 'avx512vl'].every((flag) => flags.has(flag));
  return { name: cpus()[0]?.model.trim() || 'unknown', avx2: flags.has('avx2'), avx512 };
}

function systemFacts(): DoctorFacts['system'] {
  const { platform, arch } = process;
  const pretty = /^PRETTY_NAME="?([^"\n]+)/m.exec(
    attempt(() => readFileSync('/etc/os-release', 'utf8')) ?? '',
  )?.[1];
  return {
    platform,
    arch,
    name: pretty ?? `${systemType()} ${release()}`,
    glibc: platform === 'linux' ? glibcVersion() : null,
    problem: platformProblem(),
  };
}

function versionOf(folder: string | null): string | null {
  if (folder === null) return null;
  return attempt(() => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version as string);
}

function threadFacts(): DoctorFacts['threads'] {
  const limits = threadLimits();
  return { machine: cpus().length, ...limits, used: attempt(() => defaultThreadCount(limits)) };
}

/** What is found on this machine; throws for nothing that may be wrong with it. */
export function gatherFacts(): DoctorFacts {
  const root = packageRoot();
  const target = `${process.platform}-${process.arch}`;
  const system = systemFacts();
  const chosen = attempt(choose);
  const choice = chosen?.choice ?? null;
  const loaded = system.problem === null ? loadInChild() : NOTHING;
  return {
    spikenode: { version: versionOf(root) ?? 'unknown', folder: resolve(root), isClone: isClone() },
    node: { version: process.versions.node, program: process.execPath },
    system,
    processor: processorFacts(),
    packages: [`@spikenode/${target}`, `@spikenode/libtorch-${target}`].map((name) => ({
      name,
      version: versionOf(platformPackage(name)),
    })),
    binaries: binariesFacts(chosen),
    libtorch: libtorchFacts(chosen),
    loading: { ...loaded, libraries: (choice && attempt(() => librariesOf(choice))) ?? [] },
    cuda: {
      ...cudaRuntime(hasNvidiaDriver()),
      requested: process.env['SPIKENODE_DEVICE'] || null,
      problem: attempt(() => cudaProblem(loaded.torch === null ? null : loaded.gpus)),
    },
    threads: threadFacts(),
    memory: {
      machine: totalmem(),
      quota: memoryQuota(),
      requested: process.env['SPIKENODE_MEMORY_LIMIT'] || null,
    },
    cache: cacheFacts(),
    environment: environmentFacts(process.env),
  };
}
