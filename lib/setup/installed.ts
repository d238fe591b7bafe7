import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { lstat, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SetupError } from '../errors.js';
import { cacheRoot } from '../native/platform.js';
import { explainDisk } from './disk.js';
import { withLock } from './lock.js';
import type { Release } from './releases.js';

const platform = '-linux-x64';

/** Where the installed copies are. */
export function libtorchRoot(): string {
  return join(cacheRoot(), 'libtorch');
}

/** Where wheels lie until they are unpacked. */
export function downloadsFolder(): string {
  return join(cacheRoot(), 'downloads');
}

/** The folder of a release, installed or not. */
export function releaseFolder(id: string): string {
  return join(libtorchRoot(), `${id}${platform}`);
}

/** The folder with `lib/libtorch_cpu.so` in that of a release. */
export function libtorchFolder(folder: string, cuda: boolean): string {
  return cuda ? join(folder, 'torch') : folder;
}

/** Whether a libtorch is whole: what an installation writes last is there, or, from earlier set-ups, the headers. */
export function isWhole(libtorch: string, headers: boolean): boolean {
  const hasHeaders = existsSync(join(libtorch, 'include', 'ATen', 'ATen.h'));
  const hasLibraries = existsSync(join(libtorch, 'lib', 'libtorch_cpu.so'));
  return hasLibraries && (hasHeaders || (!headers && existsSync(join(libtorch, 'version.json'))));
}

/** The folder with `lib/libtorch_cpu.so` of an installed release; null when it is not installed. */
export function installedFolder({ id, cuda }: Release, headers: boolean): string | null {
  const folder = libtorchFolder(releaseFolder(id), cuda !== null);
  return isWhole(folder, headers) ? folder : null;
}

/** An installed copy. */
export interface Installed {
  readonly id: string;
  /** With `lib/libtorch_cpu.so`. */
  readonly folder: string;
  readonly bytes: number;
  readonly headers: boolean;
  /** False for what is left of a copy. */
  readonly whole: boolean;
}

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    bytes += entry.isDirectory() ? await bytesBelow(path) : (await lstat(path)).size;
  }
  return bytes;
}

function installedIds(): string[] {
  if (!existsSync(libtorchRoot())) return [];
  return readdirSync(libtorchRoot())
    .filter((name) => name.endsWith(platform) && !name.startsWith('.'))
    .map((name) => name.slice(0, -platform.length))
    .sort();
}

/** What is installed, also of versions that this spikenode does not know. */
export async function listInstalled(): Promise<Installed[]> {
  return Promise.all(
    installedIds().map(async (id) => {
      const folder = libtorchFolder(releaseFolder(id), /-cu\d+$/.test(id));
      const headers = existsSync(join(folder, 'include', 'ATen', 'ATen.h'));
      return {
        id,
        folder,
        bytes: await bytesBelow(releaseFolder(id)),
        headers,
        whole: isWhole(folder, false),
      };
    }),
  );
}

/** Removes what installations and removals that were killed left of a release; the caller holds its lock. */
export async function removeLeftOvers(id: string): Promise<void> {
  for (const name of await readdir(libtorchRoot()))
    if (name.startsWith(`.${id}${platform}.`))
      await rm(join(libtorchRoot(), name), { recursive: true, force: true });
}

/** A name beside the folder of a release for what is being made or removed; the loader does not look at it. */
export function temporaryFolder(id: string, state: 'partial' | 'old'): string {
  return join(libtorchRoot(), `.${id}${platform}.${state}-${randomUUID()}`);
}

/** Runs `action` while no other process installs or removes the release. */
export function withReleaseLock<T>(
  id: string,
  say: (text: string) => void,
  action: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const onWait = (owner: string): void => say(`${owner} installs or removes ${id}; waiting for it`);
  return withLock(join(libtorchRoot(), `${id}${platform}.lock`), onWait, action, signal);
}

// Ids that have only left-overs.
function abandonedIds(): string[] {
  if (!existsSync(libtorchRoot())) return [];
  const found = readdirSync(libtorchRoot()).map(
    (name) => /^\.(.+)-linux-x64\.(?:partial|old)-/.exec(name)?.[1],
  );
  return [...new Set(found)].filter((id) => id !== undefined && !existsSync(releaseFolder(id))) as string[];
}

/**
 * Removes installed copies. A process that has one loaded keeps it until it ends.
 * @param ids null for all, and for downloads that were not finished
 * @throws SetupError for an id that is not installed, and where the files cannot be removed
 */
export async function removeLibtorch(
  ids: readonly string[] | null,
  say: (text: string) => void,
): Promise<void> {
  const installed = installedIds();
  const unknown = ids?.find((id) => !installed.includes(id));
  if (unknown !== undefined) {
    const known = installed.length > 0 ? `installed: ${installed.join(', ')}` : 'nothing is installed';
    throw new SetupError(`'${unknown}' is not installed in '${libtorchRoot()}'; ${known}`);
  }
  try {
    for (const id of ids ?? [...installed, ...abandonedIds()]) {
      await withReleaseLock(id, say, async () => {
        // Another process may have removed it in the meantime.
        if (existsSync(releaseFolder(id))) await rename(releaseFolder(id), temporaryFolder(id, 'old'));
        await removeLeftOvers(id);
      });
      say(`removed ${id}`);
    }
    if (ids === null) await rm(downloadsFolder(), { recursive: true, force: true });
  } catch (error) {
    throw explainDisk(error, cacheRoot());
  }
}
