import { DTypeError, ShapeError } from '../errors.js';
import { shown } from '../parameters.js';
import { keep, type Tensor, tensor } from '../tensor/index.js';
import { addon } from '../tensor/operator.js';
import { fromHandle, handleOf } from '../tensor/tensor.js';
import { type Dataset, sampleSize } from './dataset.js';

/** Groups of batches that are gathered while one is worked on. */
const depth = 2;

// Batches are gathered in groups of about this size: to wake the native thread costs more than to gather a small batch.
const groupBytes = 1 << 20;
const largestGroup = 8;

/** The inputs of some batches, one after the other in one tensor, until all of them have been taken or disposed. */
class Group {
  readonly #inputs: Tensor;
  #left: number;

  constructor(inputs: Tensor, batches: number) {
    this.#inputs = keep(inputs, 'data');
    this.#left = batches;
  }

  take(start: number, size: number): Tensor {
    return this.#inputs.narrow(0, start, size);
  }

  release(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#inputs.dispose();
  }
}

/** The inputs of a batch; they are the loader's until somebody takes them. */
export class LoadedBatch {
  /** The numbers of the samples, in the order of the batch. */
  readonly samples: Int32Array;
  readonly #start: number;
  #group: Group | null;

  constructor(samples: Int32Array, group: Group, start: number) {
    this.samples = samples;
    this.#group = group;
    this.#start = start;
  }

  /** The inputs `[samples, ...shape]` in float32 on the CPU, once; they belong to the current scope. */
  take(): Tensor {
    if (this.#group === null)
      throw new TypeError('LoadedBatch.take: the inputs of a batch can be taken once');
    const taken = this.#group.take(this.#start, this.samples.length);
    this.dispose();
    return taken;
  }

  /** Lets go of the inputs if nobody has taken them. */
  dispose(): void {
    this.#group?.release();
    this.#group = null;
  }
}

/**
 * A data set in native memory, copied once, from which a native thread gathers batches ahead of their use. What is
 * changed in `data.x` afterwards has no effect. Bytes stay bytes until they are in a batch.
 */
export class Loader implements Disposable {
  readonly data: Dataset;
  readonly #values: Tensor;

  /** @throws DTypeError, ShapeError for values that are not as the data set says */
  constructor(data: Dataset) {
    checkValues(data, 'Loader');
    this.data = data;
    this.#values = keep(tensor(data.x, { shape: [data.length, ...data.shape] }), 'data');
  }

  /**
   * The inputs of the batches whose samples `plan` names. Two groups of batches are gathered ahead, in the order of the
   * plan, a group having up to 8 batches and about 1 MiB; an early end of the loop waits for them and gives their
   * memory back.
   * @throws ShapeError for a number that is no sample; DisposedError
   */
  async *load(plan: Iterable<Int32Array>): AsyncGenerator<LoadedBatch> {
    const source = this.#groups(plan);
    const ahead: Promise<LoadedBatch[]>[] = [];
    const ask = (): void => {
      const next = source.next();
      if (next.done) return;
      const group = this.#gather(next.value);
      // A failure is told when its batches' turn has come.
      group.catch(() => {});
      ahead.push(group);
    };
    for (let i = 0; i < depth; i++) ask();
    let current: LoadedBatch[] = [];
    try {
      while (ahead.length > 0) {
        current = await ahead[0]!;
        ahead.shift();
        ask();
        for (const batch of current) {
          yield batch;
          batch.dispose();
        }
      }
    } finally {
      for (const batch of current) batch.dispose();
      for (const group of await Promise.allSettled(ahead)) {
        if (group.status === 'fulfilled') for (const batch of group.value) batch.dispose();
      }
    }
  }

  *#groups(plan: Iterable<Int32Array>): Generator<Int32Array[]> {
    const sampleBytes = 4 * sampleSize(this.data.shape);
    let group: Int32Array[] = [];
    let bytes = 0;
    for (const samples of plan) {
      // One that cannot be gathered is told at its own turn.
      const more = this.#has(samples) ? samples.length * sampleBytes : Number.POSITIVE_INFINITY;
      if (group.length > 0 && (group.length === largestGroup || bytes + more > groupBytes)) {
        yield group;
        [group, bytes] = [[], 0];
      }
      group.push(samples);
      bytes += more;
    }
    if (group.length > 0) yield group;
  }

  #has(samples: Int32Array): boolean {
    return samples.every((sample) => sample >= 0 && sample < this.data.length);
  }

  async #gather(batches: readonly Int32Array[]): Promise<LoadedBatch[]> {
    const starts: number[] = [];
    let count = 0;
    for (const { length } of batches) {
      starts.push(count);
      count += length;
    }
    const all = new Int32Array(count);
    batches.forEach((samples, i) => {
      all.set(samples, starts[i]);
    });
    const handle = await addon().gather(handleOf(this.#values), all, this.data.scale ?? 1);
    const group = new Group(fromHandle(handle), batches.length);
    return batches.map((samples, i) => new LoadedBatch(samples, group, starts[i]!));
  }

  dispose(): void {
    this.#values.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * @throws DTypeError if `x` is neither a Float32Array without nor a Uint8Array with a scale; ShapeError if it does not
 * hold what shape and length say; `name` is for the message
 */
export function checkValues({ x, scale, shape, length }: Dataset, name: string): void {
  const isBytes = x instanceof Uint8Array;
  if (!isBytes && !(x instanceof Float32Array)) {
    throw new DTypeError(`${name}: expected x as a Float32Array or a Uint8Array, got ${shown(x)}`);
  }
  if (isBytes && !(typeof scale === 'number' && Number.isFinite(scale) && scale > 0)) {
    throw new DTypeError(
      `${name}: expected a scale > 0 by which the bytes of x are divided, got ${scale ?? 'none'}`,
    );
  }
  if (!isBytes && scale !== undefined) {
    throw new DTypeError(`${name}: expected a scale for bytes only, got ${scale} with a Float32Array`);
  }
  const expected = length * sampleSize(shape);
  if (x.length !== expected) {
    throw new ShapeError(
      `${name}: ${length} samples of shape [${shape}] are ${expected} values, got ${x.length}`,
    );
  }
}
