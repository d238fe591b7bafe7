import { existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SetupError } from '../errors.js';
import { makeFolderSync } from '../native/platform.js';
import { size } from './disk.js';
import { bytesOf, DownloadError, defaultLimits, download, type Limits, sha256 } from './download.js';
import { downloadsFolder } from './installed.js';
import { connections } from './network.js';
import type { Release, ReleaseFile } from './releases.js';

/** How an installation tells what it does. */
export interface Report {
  say(text: string): void;
  /** Bytes that are done of a long step. */
  progress(step: string, done: number, total: number): void;
}

/** Where the wheels of a release come from. */
export interface Sources {
  /** Files of this machine, whatever their names; null to download. */
  readonly from: readonly string[] | null;
  readonly report: Report;
  readonly signal?: AbortSignal | undefined;
  readonly limits?: Limits;
}

/** Paths of wheels whose checksum was found right, by their names. */
export type Wheels = ReadonlyMap<string, string>;

// By size first: a checksum of half a gigabyte takes seconds.
async function matching(files: readonly ReleaseFile[], path: string): Promise<ReleaseFile | null> {
  const bytes = statSync(path).size;
  const candidates = files.filter((file) => file.size === bytes);
  if (candidates.length === 0) return null;
  const sum = await sha256(path);
  return candidates.find((file) => file.sha256 === sum) ?? null;
}

async function fromFiles(
  { id, files }: Release,
  paths: readonly string[],
  say: (text: string) => void,
): Promise<Wheels> {
  const wheels = new Map<string, string>();
  for (const path of paths.map((given) => resolve(given))) {
    if (!statSync(path, { throwIfNoEntry: false })?.isFile())
      throw new SetupError(`--from: '${path}' is no file`);
    const file = await matching(files, path);
    if (file !== null) wheels.set(file.name, path);
    else if (files.some(({ name }) => name === basename(path)))
      say(`'${path}' is not the published file of this name (damaged?)`);
    else say(`'${path}' is none of the files of ${id}`);
  }
  return wheels;
}

async function inDownloads(files: readonly ReleaseFile[]): Promise<Wheels> {
  const wheels = new Map<string, string>();
  for (const file of files) {
    const path = join(downloadsFolder(), file.name);
    if (existsSync(path) && (await matching([file], path)) !== null) wheels.set(file.name, path);
  }
  return wheels;
}

function missingSentence({ id }: Release, missing: readonly ReleaseFile[]): SetupError {
  const lines = missing.map((file) => `\n  ${file.name} (${size(file.size)})\n    ${file.url}`);
  return new SetupError(`--from: these files of ${id} are missing:${lines.join('')}`);
}

/** The mirror of SPIKENODE_MIRROR: a folder (`file://`), a base address, or null. */
function mirror(): { folder: string } | { base: string } | null {
  const given = process.env['SPIKENODE_MIRROR'];
  if (!given) return null;
  const { protocol, pathname } = URL.canParse(given) ? new URL(given) : { protocol: '', pathname: '' };
  if (protocol === 'http:' || protocol === 'https:')
    return { base: given.endsWith('/') ? given : `${given}/` };
  if (protocol === 'file:' && pathname.startsWith('/')) return { folder: fileURLToPath(given) };
  throw new SetupError(
    `SPIKENODE_MIRROR: expected an address like 'https://host/folder' or 'file:///folder', got '${given}'`,
  );
}

async function fromMirrorFolder(missing: readonly ReleaseFile[], folder: string): Promise<Wheels> {
  const wheels = new Map<string, string>();
  for (const file of missing) {
    const path = join(folder, file.name);
    if (!existsSync(path))
      throw new DownloadError(`SPIKENODE_MIRROR: the folder '${folder}' has no '${file.name}'`);
    if ((await matching([file], path)) === null)
      throw new DownloadError(`SPIKENODE_MIRROR: '${path}' has not the SHA-256 ${file.sha256}`);
    wheels.set(file.name, path);
  }
  return wheels;
}

async function fromServers(
  missing: readonly ReleaseFile[],
  base: string | null,
  { report, signal, limits = defaultLimits }: Sources,
): Promise<Wheels> {
  const dispatcher = connections(limits);
  const wheels = new Map<string, string>();
  try {
    for (const file of missing) {
      const url = base === null ? file.url : `${base}${encodeURIComponent(file.name)}`;
      const onProgress = (bytes: number): void => report.progress(file.name, bytes, file.size);
      const onRetry = (reason: string): void => report.say(`${file.name}: ${reason}; trying again`);
      const options = { dispatcher, limits, onProgress, onRetry, signal };
      wheels.set(file.name, await download(file, url, downloadsFolder(), options));
    }
  } finally {
    await dispatcher.destroy();
  }
  return wheels;
}

/** Bytes of a release that a download would still bring. */
export async function bytesToDownload({ files }: Release): Promise<number> {
  let bytes = 0;
  for (const file of files) {
    const path = join(downloadsFolder(), file.name);
    bytes += file.size - Math.min(file.size, (await bytesOf(path)) || (await bytesOf(`${path}.part`)));
  }
  return bytes;
}

/**
 * All wheels of a release, checked: given files, those of earlier calls, a mirror, the servers of the release.
 * @throws SetupError that names what is missing or why it cannot be had; what the file system throws
 */
export async function gather(release: Release, sources: Sources): Promise<Wheels> {
  const { from, report } = sources;
  const given = from === null ? new Map() : await fromFiles(release, from, report.say);
  const here: Wheels = new Map([...(await inDownloads(release.files)), ...given]);
  const missing = release.files.filter(({ name }) => !here.has(name));
  if (missing.length === 0) return here;
  if (from !== null) throw missingSentence(release, missing);
  const place = mirror();
  if (place !== null && 'folder' in place)
    return new Map([...here, ...(await fromMirrorFolder(missing, place.folder))]);
  makeFolderSync(downloadsFolder());
  return new Map([...here, ...(await fromServers(missing, place?.base ?? null, sources))]);
}
