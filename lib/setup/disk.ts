import { statfs } from 'node:fs/promises';
import { SetupError } from '../errors.js';

const causes: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota of this user is used up',
  EROFS: 'it is on a disk that cannot be written',
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  ENOTDIR: 'a part of its path is a file',
  EEXIST: 'a file is in its place',
  ENOENT: 'its folder cannot be made',
  ELOOP: 'a link in its path points to itself',
  ENAMETOOLONG: 'its path is too long',
  EIO: 'the disk fails',
};

/** Whether the file system is to blame, not the network or an archive. */
export function isDiskError(error: unknown): error is NodeJS.ErrnoException {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return code !== undefined && code in causes && syscall !== undefined && syscall !== 'connect';
}

/** A sentence for a failure of the file system in spikenode's folder; anything else as it is. */
export function explainDisk(error: unknown, folder: string): unknown {
  if (!isDiskError(error)) return error;
  const place = error.path === undefined ? folder : error.path;
  return new SetupError(
    `'${place}' cannot be written: ${causes[error.code ?? '']} (${error.code}). ` +
      `Set SPIKENODE_CACHE to a folder that can be written and has room; now it is '${folder}'.`,
  );
}

/** A number of bytes for people, in decimal units. */
export function size(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(0)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

/** @throws SetupError when fewer than `bytes` are free on the disk of `folder`, which exists. */
export async function requireSpace(folder: string, bytes: number, what: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw new SetupError(
    `${what} needs ${size(bytes)} on the disk of '${folder}', which has ${size(bavail * bsize)} left. ` +
      `Make room, or set SPIKENODE_CACHE to a folder on another disk.`,
  );
}
