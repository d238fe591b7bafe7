import type { Dataset } from '../data/index.js';
import { randomPermutation } from '../data/random.js';
import { ShapeError } from '../errors.js';
import type { Device, DType } from '../tensor/index.js';
import { type Tensor, tensor } from '../tensor/index.js';

/** Some samples of a data set, in the order of the batch. */
export interface Batch {
  readonly size: number;
  /** Row-major, channels last. */
  readonly x: Float32Array;
  /** `[size, ...shape of a sample]`. */
  readonly shape: readonly number[];
  readonly y: Int32Array;
}

/** The order of the samples in an epoch: depends on seed and epoch alone, so a run that goes on has the same. */
export function epochOrder(length: number, seed: number, epoch: number): Int32Array {
  // The odd factor (2^32 by the golden ratio) keeps the epochs of neighbouring seeds apart.
  return randomPermutation(length, (Math.imul(seed, 0x9e3779b1) + epoch) >>> 0);
}

/** The samples in the given order, or as stored; the last batch may be smaller, unless it is dropped. */
export function* batches(
  data: Dataset,
  batchSize: number,
  order?: Int32Array,
  dropLast: boolean = false,
): Generator<Batch> {
  const width = sampleSize(data.shape);
  const end = dropLast ? data.length - (data.length % batchSize) : data.length;
  for (let start = 0; start < end; start += batchSize) {
    const size = Math.min(batchSize, end - start);
    const shape = [size, ...data.shape];
    if (order === undefined) {
      const x = data.x.subarray(start * width, (start + size) * width);
      yield { size, x, shape, y: data.y.subarray(start, start + size) };
      continue;
    }
    const x = new Float32Array(size * width);
    const y = new Int32Array(size);
    for (let i = 0; i < size; i++) {
      const sample = order[start + i]!;
      x.set(data.x.subarray(sample * width, (sample + 1) * width), i * width);
      y[i] = data.y[sample]!;
    }
    yield { size, x, shape, y };
  }
}

/** Where and in what a network computes. */
export interface Placement {
  readonly dtype: DType;
  readonly device: Device;
}

/** Those of the first parameter. */
export function placementOf(model: { parameters(): Iterable<Tensor> }): Placement {
  for (const { dtype, device } of model.parameters()) return { dtype, device };
  return { dtype: 'float32', device: 'cpu' };
}

/** Inputs and class indices as tensors. */
export function tensorsOf(batch: Batch, { dtype, device }: Placement): { x: Tensor; y: Tensor } {
  const x = tensor(batch.x, { shape: batch.shape, dtype, device });
  return { x, y: tensor(batch.y, { dtype: 'int64', device }) };
}

/** @throws ShapeError if the arrays do not hold what shape, classes and length say; `name` is for the message */
export function checkDataset(data: Dataset, name: string): void {
  const { x, y, shape, classes, length } = data;
  if (!(length > 0)) throw new ShapeError(`${name}: expected at least one sample, got ${length}`);
  const expected = length * sampleSize(shape);
  if (x.length !== expected || y.length !== length) {
    throw new ShapeError(
      `${name}: ${length} samples of shape [${shape}] are ${expected} values and ${length} classes, got ${x.length} and ${y.length}`,
    );
  }
  const wrong = y.findIndex((label) => label < 0 || label >= classes);
  if (wrong >= 0) {
    throw new ShapeError(
      `${name}: expected classes from 0 to ${classes - 1}, got ${y[wrong]} for sample ${wrong}`,
    );
  }
}

/** Values of one sample. */
export function sampleSize(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
