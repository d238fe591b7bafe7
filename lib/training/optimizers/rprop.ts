import { ConfigError, type ConfigPath } from '../../errors.js';
import { finite, flag, list, type ParameterTable, parameter, shown } from '../../parameters.js';
import type { Tensor } from '../../tensor/index.js';
import type {
  Hyperparameters,
  ImplementationOptions,
  InitialState,
  Optimized,
  ParameterGroup,
} from '../optimizer.js';
import { switches } from './tables.js';
import { TensorwiseOptimizer, type TensorwiseState } from './tensorwise.js';

/** Options of `Rprop`. */
export interface RpropOptions extends Omit<ImplementationOptions, 'fused'> {
  /** The size of the first step. Default 1e-2. */
  readonly lr?: number;
  /**
   * Factors of the step size after a change of the gradient's sign, > 0 and < 1, and without one, > 1.
   * Default [0.5, 1.2].
   */
  readonly etas?: readonly [number, number];
  /** The smallest and the largest step size. Default [1e-6, 50]. */
  readonly stepSizes?: readonly [number, number];
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type RpropParameters = Hyperparameters<RpropOptions>;
type RpropState = TensorwiseState & { prev: Tensor; step_size: Tensor };

/**
 * Resilient backpropagation (M. Riedmiller and H. Braun 1993): each element has a step size of its own, which is
 * multiplied by `etas[1]` while the gradient keeps its sign and by `etas[0]` when it changes; then the element rests
 * for a step. Only the gradient's sign is used, so it is meant for whole data sets, not for batches.
 */
export class Rprop extends TensorwiseOptimizer<RpropParameters, RpropState> {
  static readonly parameters: ParameterTable = {
    lr: parameter('lr', () => finite().min(0).default(1e-2)),
    etas: parameter('etas', () => pair().default([0.5, 1.2])),
    stepSizes: parameter('step_sizes', () => pair().default([1e-6, 50])),
    maximize: parameter('maximize', () => flag().default(false)),
    ...switches('foreach', 'capturable', 'differentiable'),
  };

  /** What the table cannot tell. @throws ConfigError */
  static check({ etas: [less, more], stepSizes: [least, most] }: RpropParameters, path: ConfigPath): void {
    if (!(less > 0 && less < 1))
      throw new ConfigError([...path, 'etas', 0], 'a number > 0 and < 1', shown(less));
    if (!(more > 1)) throw new ConfigError([...path, 'etas', 1], 'a number > 1', shown(more));
    if (least > most) {
      throw new ConfigError(
        [...path, 'step_sizes', 1],
        `a number >= ${least}, the smallest step size`,
        shown(most),
      );
    }
  }

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: RpropOptions = {}) {
    super(parameters, options, Rprop.parameters, Rprop.check);
  }

  protected override initialState({ lr }: RpropParameters): InitialState {
    return { numbers: { step: 0 }, tensors: { prev: 0, step_size: lr } };
  }

  protected override advance(
    parameter: Tensor,
    grad: Tensor,
    { prev, step_size: size }: RpropState,
    { etas: [less, more], stepSizes: [least, most] }: ParameterGroup<RpropParameters>,
  ): void {
    const agreement = grad.mul(prev);
    const turned = agreement.lt(0);
    // In the parameter's dtype, which rounds the factors too.
    const factor = agreement.sign().maskedFill_(agreement.gt(0), more).maskedFill_(turned, less);
    size.mul_(factor.maskedFill_(agreement.eq(0), 1)).clamp_(least, most);
    prev.copy_(grad.maskedFill(turned, 0));
    parameter.addcmul_(prev.sign(), size, { value: -1 });
  }
}

function pair(): ReturnType<typeof list<number>> {
  return list(finite()).length(2).describe('a list of two numbers');
}
