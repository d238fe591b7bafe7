import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { SetupError } from '../errors.js';
import { isDiskError } from './disk.js';

// Bits of a file's mode as Unix zips keep them, in the upper half of the attributes.
const typeBits = 0o170000;
const regular = 0o100000;

function checked(wheel: string, entry: Entry, place: string, target: string): string {
  const mode = entry.externalFileAttributes >>> 16;
  const type = mode & typeBits;
  const path = resolve(target, place);
  const wrong =
    type !== 0 && type !== regular
      ? 'is no regular file'
      : path.startsWith(target + sep)
        ? null
        : 'leaves its folder';
  if (wrong !== null) throw new SetupError(`'${wheel}' is refused: its entry '${entry.fileName}' ${wrong}`);
  return path;
}

async function extract(
  zip: ZipFile,
  entry: Entry,
  path: string,
  flush: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const executable = (entry.externalFileAttributes >>> 16) & 0o111 ? 0o755 : 0o644;
  // 'wx': a second entry of the same name is an error.
  const file = createWriteStream(path, { flags: 'wx', mode: executable, flush });
  const bytes = await zip.openReadStreamPromise(entry);
  await pipeline(bytes, file, signal === undefined ? {} : { signal });
}

async function eachFile(
  wheel: string,
  place: (entry: string) => string | null,
  visit: (zip: ZipFile, entry: Entry, place: string) => Promise<void>,
): Promise<void> {
  try {
    // Strict: names with `..`, backslashes and absolute ones are errors, of entries that are not unpacked too.
    const zip = await openPromise(wheel, { strictFileNames: true, autoClose: false });
    try {
      for await (const entry of zip.eachEntry()) {
        const found = place(entry.fileName);
        if (found !== null) await visit(zip, entry, found);
      }
    } finally {
      zip.close();
    }
  } catch (error) {
    const { name, code, message } = error as NodeJS.ErrnoException;
    const isOfDisk = isDiskError(error) && code !== 'EEXIST';
    if (error instanceof SetupError || name === 'AbortError' || isOfDisk) throw error;
    throw new SetupError(`'${wheel}' cannot be unpacked, it is no whole wheel: ${message}`);
  }
}

/** Bytes of those files of a wheel that `place` gives a place. */
export async function unpackedBytes(wheel: string, place: (entry: string) => string | null): Promise<number> {
  let bytes = 0;
  await eachFile(wheel, place, async (_, entry) => {
    bytes += entry.uncompressedSize;
  });
  return bytes;
}

/**
 * Unpacks those files of a wheel that `place` gives a place (a relative path).
 * @param target an existing folder
 * @param flush whether an entry is brought to the disk before the next one
 * @param onBytes is told the bytes of each file that is done
 * @throws SetupError for a damaged wheel and for entries that are no regular files or leave the folder, what the file
 *   system throws, and the signal's reason
 */
export async function unpack(
  wheel: string,
  place: (entry: string) => string | null,
  target: string,
  flush: (entry: string) => boolean,
  onBytes: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  await eachFile(wheel, place, async (zip, entry, relative) => {
    const path = checked(basename(wheel), entry, relative, resolve(target));
    await extract(zip, entry, path, flush(entry.fileName), signal);
    onBytes(entry.uncompressedSize);
  });
}
