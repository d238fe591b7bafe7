import { existsSync, mkdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The oldest glibc that libtorch's own files run on. */
const OLDEST_GLIBC = '2.28';
/** The oldest Node.js that spikenode is tested with. */
const OLDEST_NODE = '20.12.0';

/** Makes a folder and those above it. (Node's own recursive way never returns where the system says ENOENT, as in /proc.) */
export function makeFolderSync(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(folder).isDirectory()) return;
    const above = dirname(folder);
    if (code !== 'ENOENT' || existsSync(above)) throw error;
    makeFolderSync(above);
    makeFolderSync(folder);
  }
}

/** The root folder of this package: the first one upwards that has a package.json. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}

/** Whether this is a clone of the repository, where `npm run setup` builds; the published package has no binding.gyp. */
export function isClone(): boolean {
  return existsSync(join(packageRoot(), 'binding.gyp'));
}

/**
 * The folder of what spikenode keeps for this user: `SPIKENODE_CACHE`, else `$XDG_CACHE_HOME/spikenode`, else
 * `~/.cache/spikenode`. It need not exist.
 */
export function cacheRoot(): string {
  const own = process.env['SPIKENODE_CACHE'];
  if (own) return resolve(own);
  return resolve(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'spikenode');
}

/** Below 0, 0 or above 0 as `a` is older than, equal to or newer than `b`; numbers between dots, what follows `+` is left out. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) =>
    text
      .split('+')[0]!
      .split('.')
      .map((part) => Number.parseInt(part, 10) || 0),
  );
  for (let i = 0; i < Math.max(left!.length, right!.length); i++) {
    const difference = (left![i] ?? 0) - (right![i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

let glibc: string | null | undefined;

/** The glibc that this process runs on, `2.36`; null where the C library is another one. */
export function glibcVersion(): string | null {
  if (glibc !== undefined) return glibc;
  const report = process.report as typeof process.report & { excludeNetwork?: boolean };
  // Without it the report looks up the names of all open connections, which can take seconds.
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  try {
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
    glibc = header?.glibcVersionRuntime ?? null;
  } finally {
    if (before !== undefined) report.excludeNetwork = before;
  }
  return glibc;
}

/** What decides whether a machine can compute; `node` as `process.versions.node`. */
export interface PlatformFacts {
  readonly platform: string;
  readonly arch: string;
  readonly glibc: string | null;
  readonly node: string;
}

const ELSEWHERE =
  'Importing spikenode, its types, configuration checks and data reading work here all the same.';

/** Why a machine with these facts cannot compute, and what it can do; null where it can. */
export function platformSentence(facts: PlatformFacts): string | null {
  const { platform, arch } = facts;
  if (platform === 'win32')
    return `spikenode does not compute on Windows: its native code is built for Linux only. Use WSL 2 (Windows Subsystem for Linux), where it runs as on Linux. ${ELSEWHERE}`;
  if (platform === 'darwin')
    return `spikenode does not compute on macOS (${arch === 'arm64' ? 'Apple silicon' : 'Intel'}): ${
      arch === 'arm64'
        ? 'its native code is not built for it yet'
        : 'PyTorch has made no libtorch for Intel Macs since 2.3'
    }. Use a Linux x64 machine or container. ${ELSEWHERE}`;
  if (platform !== 'linux')
    return `spikenode computes on Linux x64 only; this is ${platform} ${arch}. ${ELSEWHERE}`;
  if (arch !== 'x64')
    return `spikenode does not compute on Linux ${arch} yet: its prebuilt files are for x64 only. ${ELSEWHERE}`;
  if (facts.glibc === null)
    return `spikenode cannot compute on a Linux whose C library is not glibc (Alpine's is musl): libtorch is built for glibc only. Use an image with glibc, for instance node:22-slim in place of node:22-alpine. ${ELSEWHERE}`;
  if (compareVersions(facts.glibc, OLDEST_GLIBC) < 0)
    return `spikenode computes with glibc ${OLDEST_GLIBC} or newer, as libtorch does; this system has glibc ${facts.glibc}. Use a newer system, for instance Debian 10, Ubuntu 18.10, RHEL 8 or later, or a container of one. ${ELSEWHERE}`;
  if (compareVersions(facts.node, OLDEST_NODE) < 0)
    return `spikenode needs Node.js ${OLDEST_NODE} or newer; this is ${facts.node}. Install a newer Node.js.`;
  return null;
}

/** Why this machine cannot compute, in a sentence; null where it can. */
export function platformProblem(): string | null {
  return platformSentence({
    platform: process.platform,
    arch: process.arch,
    glibc: process.platform === 'linux' ? glibcVersion() : null,
    node: process.versions.node,
  });
}

/** Whether the driver of an NVIDIA GPU is there, also inside a container and in WSL 2. */
export function hasNvidiaDriver(): boolean {
  return ['/dev/nvidiactl', '/proc/driver/nvidia/version', '/usr/lib/wsl/lib/libcuda.so.1'].some((path) =>
    existsSync(path),
  );
}
