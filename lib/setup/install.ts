import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flushFolder, replaceFile } from '../durable.js';
import { SetupError } from '../errors.js';
import { cacheRoot, makeFolderSync } from '../native/platform.js';
import { unpack } from './archive.js';
import { explainDisk, requireSpace, size } from './disk.js';
import { bytesToDownload, gather, type Report, type Sources, type Wheels } from './gather.js';
import {
  downloadsFolder,
  installedFolder,
  isWhole,
  libtorchFolder,
  libtorchRoot,
  releaseFolder,
  removeLeftOvers,
  temporaryFolder,
  withReleaseLock,
} from './installed.js';
import { placeOf, type Release, useOf } from './releases.js';

/** What of a release is installed, and how. */
export interface InstallOptions extends Sources {
  /** With the headers and CMake files that a source build needs. */
  readonly headers: boolean;
  /** Also when it is there already. */
  readonly force: boolean;
}

function bytesUnpacked({ files }: Release, headers: boolean): number {
  return files.reduce((sum, file) => sum + file.libraries + (headers ? file.headers : 0), 0);
}

function describe({ torch, cuda }: Release): string {
  return `libtorch ${torch} (${cuda === null ? 'CPU' : `CUDA ${cuda}`})`;
}

// A library that a power failure left half-written would crash its process. For ten thousand headers the waits for the disk
// add up to a minute, and a compiler says what it does not like.
const isFlushed = (entry: string): boolean => useOf(entry) !== 'header';

async function unpackAll(
  release: Release,
  wheels: Wheels,
  folder: string,
  { headers, report, signal }: InstallOptions,
): Promise<void> {
  const total = bytesUnpacked(release, headers);
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    report.progress('unpacking', Math.min(done, total), total);
  };
  for (const [name, path] of wheels) {
    const place = (entry: string): string | null => placeOf(release.cuda, name, entry, headers);
    await unpack(path, place, folder, isFlushed, onBytes, signal);
  }
  const libtorch = libtorchFolder(folder, release.cuda !== null);
  // Last, as the sign that nothing is missing.
  const version = `${JSON.stringify({ torch: release.torch, cuda: release.cuda })}\n`;
  await mkdir(libtorch, { recursive: true });
  await replaceFile(join(libtorch, 'version.json'), async (handle) => {
    await handle.writeFile(version);
  });
  if (!isWhole(libtorch, headers))
    throw new SetupError(`the wheels of ${describe(release)} lack files that were expected in them`);
}

/** Puts the new folder in its place; an older copy goes, which processes that have it loaded do not notice. */
async function exchange(id: string, partial: string): Promise<void> {
  const target = releaseFolder(id);
  if (existsSync(target)) await rename(target, temporaryFolder(id, 'old'));
  await rename(partial, target);
  await flushFolder(libtorchRoot());
  await removeLeftOvers(id);
}

async function makeRoom(): Promise<void> {
  const root = libtorchRoot();
  makeFolderSync(root);
  // Told before anything is downloaded.
  const trial = join(root, `.writable-${randomUUID()}`);
  await writeFile(trial, '');
  await rm(trial, { force: true });
}

async function installLocked(release: Release, options: InstallOptions): Promise<void> {
  const { id } = release;
  const { headers, from, report } = options;
  await removeLeftOvers(id);
  const download = from === null ? await bytesToDownload(release) : 0;
  const unpacked = bytesUnpacked(release, headers);
  report.say(
    `installing ${describe(release)} in '${releaseFolder(id)}': ` +
      `${download > 0 ? `${size(download)} to download, ` : ''}${size(unpacked)} unpacked`,
  );
  await requireSpace(libtorchRoot(), download + unpacked, describe(release));
  const wheels = await gather(release, options);
  const partial = temporaryFolder(id, 'partial');
  await mkdir(partial);
  try {
    await unpackAll(release, wheels, partial, options);
    await exchange(id, partial);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
  for (const { name } of release.files) await rm(join(downloadsFolder(), name), { force: true });
}

/**
 * Installs a libtorch into the folder that spikenode keeps (see `cacheRoot`), or finds that it is there. Of processes that do
 * so at the same time one works, the others wait for it. A copy is seen whole or not at all.
 * @returns the folder with `lib/libtorch_cpu.so`
 * @throws SetupError with what failed and what to do; the signal's reason when it is aborted, what was downloaded is kept then
 */
export async function installLibtorch(release: Release, options: InstallOptions): Promise<string> {
  const { force, report, signal } = options;
  // A copy that had headers keeps them: what was built against it may be built again.
  const headers = options.headers || installedFolder(release, true) !== null;
  const there = force ? null : installedFolder(release, headers);
  if (there !== null) return there;
  try {
    await makeRoom();
    let waited = false;
    const say = (text: string): void => {
      waited = true;
      report.say(text);
    };
    await withReleaseLock(
      release.id,
      say,
      async () => {
        // Who has waited finds the work of the other one.
        const isDone = installedFolder(release, headers) !== null && (waited || !force);
        if (!isDone) await installLocked(release, { ...options, headers });
      },
      signal,
    );
  } catch (error) {
    throw explainDisk(error, cacheRoot());
  }
  return libtorchFolder(releaseFolder(release.id), release.cuda !== null);
}

export type { Report };
