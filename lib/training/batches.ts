import type { Dataset } from '../data/index.js';
import { checkValues, type LoadedBatch, Loader } from '../data/loader.js';
import { randomPermutation } from '../data/random.js';
import { ShapeError } from '../errors.js';
import type { Device, DType } from '../tensor/index.js';
import { type Tensor, tensor } from '../tensor/index.js';

/** Some samples of a data set, in the order of the batch. */
export interface Batch {
  readonly size: number;
  /** The inputs `[size, ...shape of a sample]`, row-major, channels last. */
  readonly inputs: LoadedBatch;
  readonly y: Int32Array;
  /** Seconds from asking for the batch to having it. */
  readonly waited: number;
}

/** The order of the samples in an epoch: depends on seed and epoch alone, so a run that goes on has the same. */
export function epochOrder(length: number, seed: number, epoch: number): Int32Array {
  // The odd factor (2^32 by the golden ratio) keeps the epochs of neighbouring seeds apart.
  return randomPermutation(length, (Math.imul(seed, 0x9e3779b1) + epoch) >>> 0);
}

/**
 * The samples in the given order, or as stored; the last batch may be smaller, unless it is dropped. The next batches
 * are gathered on a native thread meanwhile. A data set is copied into native memory for as long as the loop runs; a
 * loader has it there.
 * @throws ShapeError for a number in `order` that is no sample
 */
export async function* batches(
  data: Dataset | Loader,
  batchSize: number,
  order?: Int32Array,
  dropLast: boolean = false,
): AsyncGenerator<Batch> {
  const loader = data instanceof Loader ? data : new Loader(data);
  const { length, y } = loader.data;
  try {
    let asked = performance.now();
    for await (const inputs of loader.load(plan(length, batchSize, order, dropLast))) {
      const { samples } = inputs;
      const own = Int32Array.from(samples, (sample) => y[sample]!);
      yield { size: samples.length, inputs, y: own, waited: (performance.now() - asked) / 1000 };
      asked = performance.now();
    }
  } finally {
    if (loader !== data) loader.dispose();
  }
}

// The numbers of the samples of each batch.
function* plan(
  length: number,
  batchSize: number,
  order: Int32Array | undefined,
  dropLast: boolean,
): Generator<Int32Array> {
  const end = dropLast ? length - (length % batchSize) : length;
  for (let start = 0; start < end; start += batchSize) {
    const size = Math.min(batchSize, end - start);
    yield order?.subarray(start, start + size) ?? Int32Array.from({ length: size }, (_, i) => start + i);
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

/** Inputs and class indices as tensors of the current scope; a batch gives its inputs once. */
export function tensorsOf(batch: Batch, { dtype, device }: Placement): { x: Tensor; y: Tensor } {
  const x = batch.inputs.take().to({ dtype, device });
  return { x, y: tensor(batch.y, { dtype: 'int64', device }) };
}

/**
 * @throws ShapeError if the arrays do not hold what shape, classes and length say, DTypeError for other arrays; `name`
 * is for the message
 */
export function checkDataset(data: Dataset, name: string): void {
  const { y, classes, length } = data;
  if (!(length > 0)) throw new ShapeError(`${name}: expected at least one sample, got ${length}`);
  checkValues(data, name);
  if (y.length !== length) {
    throw new ShapeError(`${name}: ${length} samples have as many classes, got ${y.length}`);
  }
  const wrong = y.findIndex((label) => label < 0 || label >= classes);
  if (wrong >= 0) {
    throw new ShapeError(
      `${name}: expected classes from 0 to ${classes - 1}, got ${y[wrong]} for sample ${wrong}`,
    );
  }
}
