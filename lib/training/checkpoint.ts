import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { flushFolder, replaceFile } from '../durable.js';
import { CheckpointError } from '../errors.js';
import { integer, type ParameterTable, parameter, text } from '../parameters.js';
import type { Tensor } from '../tensor/index.js';
import { loadSafetensors, saveSafetensors } from './safetensors.js';
import { SafetensorsError } from './safetensors-header.js';

// A checkpoint is a folder `epoch-<epochs done>-step-<steps done>` with tensors.safetensors and state.json, which has
// the SHA-256 sums of the other file and of its own content. The folder is written under another name, flushed to the
// disk and renamed, so that a crash leaves it whole or not at all.

const tensorsName = 'tensors.safetensors';
const stateName = 'state.json';
const temporary = '.tmp-';

/** Where and when `fit` writes checkpoints. */
export interface CheckpointOptions {
  /** Where checkpoints are written; made if it is not there. */
  readonly folder: string;
  /** Steps of the optimizer between two checkpoints. Default: none within an epoch. */
  readonly everySteps?: number | undefined;
  /** Epochs between two checkpoints. Default 1. */
  readonly everyEpochs?: number | undefined;
  /** How many are kept, the newest. Default 1. */
  readonly keep?: number | undefined;
}

/** The options with their defaults filled in. */
export interface CheckpointParameters {
  readonly folder: string;
  readonly everySteps?: number;
  readonly everyEpochs: number;
  readonly keep: number;
}

/** What an experiment says of checkpoints; it has a folder already. */
export const checkpointSchedule: ParameterTable = {
  everySteps: parameter('every_steps', integer(1).optional()),
  everyEpochs: parameter('every_epochs', integer(1).default(1)),
  keep: parameter('keep', integer(1).default(1)),
};

/** What `fit` takes of checkpoints. */
export const checkpointTable: ParameterTable = {
  folder: parameter('folder', text()),
  ...checkpointSchedule,
};

/** How far a training is: epochs that are finished, and steps of the optimizer since its begin. */
export interface CheckpointPlace {
  readonly epochs: number;
  readonly steps: number;
}

/** What a checkpoint has: values that JSON can hold (numbers that are not finite too), and tensors by name. */
export interface CheckpointContent<S> {
  readonly state: S;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** Checkpoints of a folder, oldest first, as paths. */
export function listCheckpoints(folder: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
  const found = readdirSync(folder).flatMap((name) => {
    const [, epochs, steps] = /^epoch-(\d+)-step-(\d+)$/.exec(name) ?? [];
    return steps === undefined ? [] : [{ name, epochs: Number(epochs), steps: Number(steps) }];
  });
  found.sort((a, b) => a.epochs - b.epochs || a.steps - b.steps);
  return found.map(({ name }) => join(folder, name));
}

/** Makes a folder, and those above it. Node's own way hangs where a file system takes none, and hides why. */
export function makeFolder(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = dirname(folder);
  if (parent !== folder) makeFolder(parent);
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/**
 * Makes the folder, and removes what a crash has left of checkpoints that were being written or removed.
 * @throws CheckpointError if it cannot be made
 */
export async function openFolder(folder: string): Promise<void> {
  try {
    makeFolder(folder);
    const left = readdirSync(folder).filter((name) => name.startsWith(temporary));
    for (const name of left) await rm(join(folder, name), { recursive: true, force: true });
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/**
 * Writes a checkpoint and removes the ones before it but for the newest, `keep` in all, and any after it. Whatever
 * happens, the one before stays until the new one is whole.
 * @returns its path
 * @throws CheckpointError if it cannot be written
 */
export async function writeCheckpoint(
  folder: string,
  { epochs, steps }: CheckpointPlace,
  { state, tensors }: CheckpointContent<object>,
  keep: number,
): Promise<string> {
  // At once: what the state refers to may change while the tensors are written.
  const content = encoded(state);
  const path = join(folder, `epoch-${epochs}-step-${steps}`);
  const unfinished = join(folder, temporary + randomUUID());
  try {
    await mkdir(unfinished);
    const file = join(unfinished, tensorsName);
    await saveSafetensors(file, tensors, {});
    const sums = `"state_sha256":"${hashOf(content)}","tensors_sha256":"${await hashOfFile(file)}"`;
    const whole = `{${sums},"state":${content}}\n`;
    await replaceFile(join(unfinished, stateName), (handle) => handle.writeFile(whole));
    if (existsSync(path)) await discard(folder, path);
    await rename(unfinished, path);
    await flushFolder(folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true }).catch(() => {});
    throw unwritable(path, error, listCheckpoints(folder).at(-1));
  }
  const all = listCheckpoints(folder);
  const own = all.indexOf(path);
  for (const [i, other] of all.entries()) if (i > own || i <= own - keep) await discard(folder, other);
  return path;
}

/**
 * Reads a checkpoint; the tensors are the caller's to dispose.
 * @throws CheckpointError if it is not one, or is damaged
 */
export async function readCheckpoint(path: string): Promise<CheckpointContent<Record<string, unknown>>> {
  const { state, sum } = decoded(await readState(path), path);
  const file = join(path, tensorsName);
  try {
    const hash = await hashOfFile(file);
    if (hash !== sum) {
      // The file's own check says what is wrong, if it finds anything.
      for (const own of Object.values(await loadSafetensors(file))) own.dispose();
      throw damaged(path, `the SHA-256 of ${tensorsName} is another one`);
    }
    return { state, tensors: new Map(Object.entries(await loadSafetensors(file))) };
  } catch (error) {
    if (error instanceof SafetensorsError) throw damaged(path, error.message.replace(`${path}/`, ''));
    if (!isSystemError(error)) throw error;
    throw damaged(path, `${tensorsName} cannot be read: ${reason(error)}`);
  }
}

/** The error for a file or folder of a run that cannot be written. */
export function unwritable(path: string, error: unknown, last?: string): unknown {
  if (!isSystemError(error)) return error;
  const stays = last === undefined ? '' : `; the last checkpoint is ${last}`;
  return new CheckpointError(`${path}: cannot be written: ${reason(error)}${stays}`);
}

/** The error for a file of a run that cannot be read. */
export function unreadable(path: string, error: unknown): unknown {
  return isSystemError(error) ? new CheckpointError(`${path}: cannot be read: ${reason(error)}`) : error;
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left on the disk',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than is allowed',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EIO: 'the disk failed',
  ENOTDIR: 'there is a file where a folder should be',
  EEXIST: 'there is a file where a folder should be',
  ENOENT: 'no such file or folder',
  EISDIR: 'there is a folder where a file should be',
};

function reason({ code = '', message }: NodeJS.ErrnoException): string {
  const known = reasons[code];
  return known === undefined ? message : `${known} (${code})`;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && (error as NodeJS.ErrnoException).syscall !== undefined;
}

function damaged(path: string, what: string): CheckpointError {
  return new CheckpointError(`${path}: the checkpoint is damaged: ${what}`);
}

async function readState(path: string): Promise<string> {
  try {
    return await readFile(join(path, stateName), 'utf8');
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new CheckpointError(
      `${path}: expected a checkpoint, but ${stateName} cannot be read: ${reason(error)}`,
    );
  }
}

function decoded(content: string, path: string): { state: Record<string, unknown>; sum: unknown } {
  let whole: Readonly<Record<string, unknown>> | null;
  try {
    whole = JSON.parse(content, (_, value) => (isOdd(value) ? Number(value.$float) : value));
  } catch {
    throw damaged(path, `${stateName} is not JSON`);
  }
  const { state, state_sha256: own, tensors_sha256: sum } = whole ?? {};
  if (typeof state !== 'object' || state === null || own !== hashOf(encoded(state))) {
    throw damaged(path, `${stateName} is not as it was written`);
  }
  return { state: state as Record<string, unknown>, sum };
}

// JSON has no NaN, no infinities and loses the sign of zero.
function encoded(state: object): string {
  return JSON.stringify(state, (_, value: unknown) => {
    if (typeof value !== 'number') return value;
    if (Number.isFinite(value) && !Object.is(value, -0)) return value;
    return { $float: Object.is(value, -0) ? '-0' : `${value}` };
  });
}

function isOdd(value: unknown): value is { readonly $float: string } {
  return typeof value === 'object' && value !== null && Object.keys(value).join() === '$float';
}

function hashOf(content: string): string {
  return createHash('sha256').update(content).digest('hex');
}

async function hashOfFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

// Under another name first: a crash in the middle must not leave half a checkpoint that looks like one.
async function discard(folder: string, path: string): Promise<void> {
  const old = join(folder, temporary + randomUUID());
  await rename(path, old);
  await rm(old, { recursive: true, force: true });
}
