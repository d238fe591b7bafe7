import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Dataset } from '../data/index.js';
import type { ConfigPath } from '../errors.js';
import { packageRoot } from '../native/platform.js';
import type { Module } from '../nn/index.js';
import { type Device, getNumThreads, libtorchVersion } from '../tensor/index.js';

// What a training must have in common with the one that it continues, and what it should.

/** A value as JSON has it. */
export type Plain = string | number | boolean | null | readonly Plain[] | { readonly [key: string]: Plain };

/** Parameters of frameworks, in both spellings, that change no result. */
export const harmlessParameters: readonly string[] = [
  ...['accelerator', 'devices'],
  ...['enableProgressBar', 'enable_progress_bar', 'progressBarRefreshRate', 'progress_bar_refresh_rate'],
  ...['enableConfusionMatrix', 'enable_confusion_matrix'],
];

/** Where two values differ first. */
export interface Difference {
  readonly path: ConfigPath;
  readonly before: Plain | undefined;
  readonly now: Plain | undefined;
}

/** The first place, in the order of `before`, where `now` is something else; null if they are equal. */
export function firstDifference(
  before: Plain | undefined,
  now: Plain | undefined,
  path: ConfigPath = [],
): Difference | null {
  if (isBranch(before) && isBranch(now) && Array.isArray(before) === Array.isArray(now)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(now)]);
    for (const key of keys) {
      const here = [...path, Array.isArray(before) ? Number(key) : key];
      const found = firstDifference(childOf(before, key), childOf(now, key), here);
      if (found) return found;
    }
    return null;
  }
  return before === now ? null : { path, before, now };
}

type Branch = Readonly<Record<string, Plain>>;

function isBranch(value: Plain | undefined): value is Branch {
  return typeof value === 'object' && value !== null;
}

function childOf(value: Branch, key: string): Plain | undefined {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

/** A value in a message: whole if it is short. */
export function brief(value: Plain | undefined): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** Options as JSON has them; an instance of a class counts by the name of the class alone. */
export function plain(value: unknown): Plain {
  if (value === undefined || value === null) return null;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value !== 'object') return typeof value === 'bigint' ? `${value}` : (value as Plain);
  const maker: unknown = Object.getPrototypeOf(value)?.constructor;
  if (typeof maker === 'function' && maker !== Object) return `an instance of ${maker.name}`;
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  return Object.fromEntries(entries.map(([key, entry]) => [key, plain(entry)]));
}

/** What tells a network from others: its tree of modules, and the tensors of its state. */
export function settingsOfModel(model: Module): Plain {
  const state = Object.entries(model.stateDict()).map(
    ([name, value]) => [name, `${value.dtype}[${value.shape}]`] as const,
  );
  return { modules: model.toString().split('\n'), state: Object.fromEntries(state) };
}

/** What tells a data set from others. */
export function settingsOfData({ x, y, shape, classes, length, scale = 1 }: Dataset): Plain {
  const hash = createHash('sha256');
  for (const values of [x, y])
    hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return { shape: [...shape], classes, length, scale, sha256: hash.digest('hex') };
}

/** What the last bit of a result may depend on. */
export function environment(device: Device): Readonly<Record<string, string | number>> {
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  return {
    spikenode: version,
    libtorch: libtorchVersion(),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    threads: getNumThreads(),
    device,
  };
}
