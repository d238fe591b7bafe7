import { finite, type ParameterTable, parameter } from '../../parameters.js';
import type { Tensor } from '../../tensor/index.js';
import type {
  Hyperparameters,
  ImplementationOptions,
  InitialState,
  Optimized,
  ParameterGroup,
} from '../optimizer.js';
import { common, epsilon, switches } from './tables.js';
import { TensorwiseOptimizer, type TensorwiseState } from './tensorwise.js';

/** Options of `Adagrad`. */
export interface AdagradOptions extends Omit<ImplementationOptions, 'capturable'> {
  /** Default 1e-2. */
  readonly lr?: number;
  /** The rate in step t is `lr / (1 + (t - 1) * lrDecay)`. Default 0. */
  readonly lrDecay?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** What the sum of squares begins with. Default 0. */
  readonly initialAccumulatorValue?: number;
  /** Default 1e-10. */
  readonly eps?: number;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type AdagradParameters = Hyperparameters<AdagradOptions>;
type AdagradState = TensorwiseState & { sum: Tensor };

/**
 * Adagrad (J. Duchi, E. Hazan and Y. Singer 2011). With g the gradient plus `weightDecay * p` and t the step from 1:
 * `s += g^2`, `p -= lr / (1 + (t - 1) * lrDecay) * g / (sqrt(s) + eps)`.
 */
export class Adagrad extends TensorwiseOptimizer<AdagradParameters, AdagradState> {
  static readonly parameters: ParameterTable = {
    ...common(1e-2),
    lrDecay: parameter('lr_decay', () => finite().min(0).default(0)),
    initialAccumulatorValue: parameter('initial_accumulator_value', () => finite().min(0).default(0)),
    eps: epsilon(1e-10),
    ...switches('foreach', 'differentiable', 'fused'),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: AdagradOptions = {}) {
    super(parameters, options, Adagrad.parameters);
  }

  protected override initialState({ initialAccumulatorValue }: AdagradParameters): InitialState {
    return { numbers: { step: 0 }, tensors: { sum: initialAccumulatorValue } };
  }

  protected override advance(
    parameter: Tensor,
    grad: Tensor,
    { step, sum }: AdagradState,
    { lr, lrDecay, eps }: ParameterGroup<AdagradParameters>,
  ): void {
    sum.addcmul_(grad, grad);
    parameter.addcdiv_(grad, sum.sqrt().add_(eps), { value: -lr / (1 + (step - 1) * lrDecay) });
  }
}
