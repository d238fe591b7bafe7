import { finite, flag, type ParameterTable, parameter } from '../../parameters.js';
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

/** Options of `RMSprop`. */
export interface RMSpropOptions extends Omit<ImplementationOptions, 'fused'> {
  /** Default 1e-2. */
  readonly lr?: number;
  /** Decay rate of the averages, >= 0. Default 0.99. */
  readonly alpha?: number;
  /** Added to the root of the average. Default 1e-8. */
  readonly eps?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** Default 0. */
  readonly momentum?: number;
  /** Divide by the standard deviation of the gradient instead of its root mean square. Default false. */
  readonly centered?: boolean;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type RMSpropParameters = Hyperparameters<RMSpropOptions>;
type RMSpropState = TensorwiseState & { square_avg: Tensor; momentum_buffer?: Tensor; grad_avg?: Tensor };

/**
 * RMSprop (G. Hinton 2012; centered: A. Graves 2013). With g the gradient plus `weightDecay * p`:
 * `v = alpha * v + (1 - alpha) * g^2`, if centered `a = alpha * a + (1 - alpha) * g` and `v - a^2` for v below;
 * `b = momentum * b + g / (sqrt(v) + eps)`, `p -= lr * b`.
 */
export class RMSprop extends TensorwiseOptimizer<RMSpropParameters, RMSpropState> {
  static readonly parameters: ParameterTable = {
    ...common(1e-2),
    alpha: parameter('alpha', () => finite().min(0).default(0.99)),
    eps: epsilon(1e-8),
    momentum: parameter('momentum', () => finite().min(0).default(0)),
    centered: parameter('centered', () => flag().default(false)),
    ...switches('foreach', 'capturable', 'differentiable'),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: RMSpropOptions = {}) {
    super(parameters, options, RMSprop.parameters);
  }

  protected override initialState({ momentum, centered }: RMSpropParameters): InitialState {
    const tensors = {
      square_avg: 0,
      ...(momentum > 0 && { momentum_buffer: 0 }),
      ...(centered && { grad_avg: 0 }),
    };
    return { numbers: { step: 0 }, tensors };
  }

  protected override advance(
    parameter: Tensor,
    grad: Tensor,
    { square_avg: square, momentum_buffer: buffer, grad_avg: mean }: RMSpropState,
    { lr, alpha, eps, momentum, centered }: ParameterGroup<RMSpropParameters>,
  ): void {
    square.mul_(alpha).addcmul_(grad, grad, { value: 1 - alpha });
    let variance = square;
    if (centered && mean) {
      mean.lerp_(grad, 1 - alpha);
      variance = square.clone().addcmul_(mean, mean, { value: -1 });
    }
    const size = variance.sqrt().add_(eps);
    if (momentum > 0 && buffer) {
      parameter.add_(buffer.mul_(momentum).addcdiv_(grad, size), { alpha: -lr });
    } else {
      parameter.addcdiv_(grad, size, { value: -lr });
    }
  }
}
