/** What the tests of the nn floor and of those above it share. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../lib/native/platform.js';
import { type DType, type Tensor, tensor } from '../../lib/tensor/index.js';
import { largestDifference } from '../tensor/helpers.js';

/** A file of test/golden. */
export function golden<T>(name: string): T {
  return JSON.parse(readFileSync(join(packageRoot(), 'test', 'golden', name), 'utf8')) as T;
}

/** A flat list of numbers as a tensor; float64 unless told otherwise. */
export function shaped(
  values: readonly number[],
  shape: readonly number[],
  dtype: DType = 'float64',
): Tensor {
  return tensor(Float64Array.from(values), { shape }).to(dtype);
}

/** The largest |a - b| / max(1, |b|) of a tensor and the numbers it should have. */
export function difference(a: Tensor | null, b: readonly number[]): number {
  if (a === null) throw new Error('expected a tensor, got null');
  return largestDifference(a.detach().to('float64').toTypedArray() as Float64Array, b);
}
