import { DTypeError, ShapeError } from '../errors.js';
import { shown } from '../parameters.js';
import { keep, type Tensor, tensor } from '../tensor/index.js';
import { addon } from '../tensor/operator.js';
import { fromHandle, handleOf } from '../tensor/tensor.js';
import type { Dataset } from './dataset.js';

/** Batches that are gathered while one is worked on. */
const depth = 2;

/** The inputs of a batch; they are the loader's until somebody takes them. */
export class LoadedBatch {
  /** The numbers of the samples, in the order of the batch. */
  readonly samples: Int32Array;
  #handle: number | null;

  constructor(samples: Int32Array, handle: number) {
    this.samples = samples;
    this.#handle = handle;
  }

  /** The inputs `[samples, ...shape]` in float32 on the CPU, once; they belong to the current scope. */
  take(): Tensor {
    if (this.#handle === null)
      throw new TypeError('LoadedBatch.take: the inputs of a batch can be taken once');
    const taken = fromHandle(this.#handle);
    this.#handle = null;
    return taken;
  }

  /** Gives the memory back if nobody has taken the inputs. */
  dispose(): void {
    if (this.#handle !== null) addon().dispose(this.#handle);
    this.#handle = null;
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
   * The inputs of the batches whose samples `plan` names. Two batches are gathered ahead, in the order of the plan; an
   * early end of the loop waits for them and gives their memory back.
   * @throws ShapeError for a number that is no sample; DisposedError
   */
  async *load(plan: Iterable<Int32Array>): AsyncGenerator<LoadedBatch> {
    const source = plan[Symbol.iterator]();
    const ahead: Promise<LoadedBatch>[] = [];
    const ask = (): void => {
      const next = source.next();
      if (next.done) return;
      const batch = this.#gather(next.value);
      // A failure is told when its batch's turn has come.
      batch.catch(() => {});
      ahead.push(batch);
    };
    for (let i = 0; i < depth; i++) ask();
    let current: LoadedBatch | undefined;
    try {
      while (ahead.length > 0) {
        current = await ahead[0]!;
        ahead.shift();
        ask();
        yield current;
        current.dispose();
      }
    } finally {
      current?.dispose();
      for (const batch of await Promise.allSettled(ahead)) {
        if (batch.status === 'fulfilled') batch.value.dispose();
      }
    }
  }

  async #gather(samples: Int32Array): Promise<LoadedBatch> {
    const handle = await addon().gather(handleOf(this.#values), samples, this.data.scale ?? 1);
    return new LoadedBatch(samples, handle);
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
  const expected = length * shape.reduce((product, size) => product * size, 1);
  if (x.length !== expected) {
    throw new ShapeError(
      `${name}: ${length} samples of shape [${shape}] are ${expected} values, got ${x.length}`,
    );
  }
}
