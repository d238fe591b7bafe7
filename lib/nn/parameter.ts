import { type DType, keep, Tensor, zeros } from '../tensor/index.js';

/**
 * A tensor that a module learns. It shares the memory of `data`, is a leaf of the graph, and belongs to no scope:
 * it lives as long as something refers to it.
 */
export class Parameter extends Tensor {
  /** @param requiresGrad whether gradients are recorded; default true */
  constructor(data: Tensor, requiresGrad: boolean = true) {
    const values = data.detach();
    super(values);
    values.dispose();
    keep(this, 'parameters');
    if (requiresGrad) this.requiresGrad = true;
  }
}

/**
 * A tensor that belongs to a module's state but is not learned, as the running mean of a batch normalisation.
 * As a `Parameter` it shares the memory of `data` and belongs to no scope.
 */
export class Buffer extends Tensor {
  /** Whether `stateDict()` has it. */
  readonly persistent: boolean;

  constructor(data: Tensor, persistent: boolean = true) {
    const values = data.detach();
    super(values);
    values.dispose();
    keep(this, 'buffers');
    this.persistent = persistent;
  }
}

/** A new parameter of zeros. */
export function learned(shape: readonly number[], dtype: DType = 'float32'): Parameter {
  const values = zeros(shape, { dtype });
  const made = new Parameter(values);
  values.dispose();
  return made;
}
