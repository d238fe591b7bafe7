/** What the tests of this folder share. */
export { DisposedError, DTypeError, ShapeError, TorchError } from '../../lib/errors.js';
export * from '../../lib/tensor/index.js';

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { NestedArray, Tensor } from '../../lib/tensor/index.js';

/** Collects garbage and lets its finalizers run, so that tensors of earlier tests do not go in the middle of a count. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  for (let i = 0; i < 4; i++) {
    gc();
    await new Promise(setImmediate);
  }
}

/** A deterministic stream of numbers in [0, 1): mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function values(x: Tensor | null): NestedArray {
  if (x === null) throw new Error('expected a tensor, got null');
  return x.tolist();
}

/** The largest |a - b| / max(1, |b|) over two tensors or arrays of numbers. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] as number) - (b[i] as number)) / Math.max(1, Math.abs(b[i] as number));
    if (!(difference <= worst)) worst = difference;
  }
  return worst;
}
