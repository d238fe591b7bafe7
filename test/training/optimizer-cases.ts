/** What the tests of optimizers share. */
import { Parameter } from '../../lib/nn/index.js';
import { type Tensor, tensor } from '../../lib/tensor/index.js';

/** Numbers, or lists of them at any depth. */
export type Nested = number | readonly Nested[];

/** A parameter with these values. */
export function leaf(values: Nested, dtype: 'float32' | 'float64' = 'float64'): Parameter {
  return new Parameter(tensor(values as number[], { dtype }));
}

/** Its values, row-major. */
export function numbers(x: Tensor): number[] {
  return Array.from(x.toTypedArray() as Float64Array);
}

/** Every optimizer, with all the state that it can have. */
export const fullOptions: Readonly<Record<string, Record<string, unknown>>> = {
  SGD: { momentum: 0.9, dampening: 0.5, weightDecay: 0.1 },
  Adam: { amsgrad: true },
  AdamW: { amsgrad: true },
  NAdam: {},
  RAdam: { betas: [0.5, 0.8] },
  Adamax: {},
  Adadelta: { lr: 1, eps: 0.1 },
  Adagrad: { lrDecay: 0.1, initialAccumulatorValue: 0.5 },
  RMSprop: { momentum: 0.9, centered: true },
  Rprop: {},
  ASGD: { lambd: 0.1, t0: 3 },
};
