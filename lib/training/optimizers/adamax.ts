import type { ParameterTable } from '../../parameters.js';
import { maximum, type Tensor } from '../../tensor/index.js';
import type {
  Hyperparameters,
  ImplementationOptions,
  InitialState,
  Optimized,
  ParameterGroup,
} from '../optimizer.js';
import { betas, common, epsilon, switches } from './tables.js';
import { TensorwiseOptimizer, type TensorwiseState } from './tensorwise.js';

/** Options of `Adamax`. */
export interface AdamaxOptions extends Omit<ImplementationOptions, 'fused'> {
  /** Default 2e-3. */
  readonly lr?: number;
  /** Decay rates of the moment and of the norm, >= 0 and < 1. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the size of the gradient. Default 1e-8. */
  readonly eps?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type AdamaxParameters = Hyperparameters<AdamaxOptions>;
type AdamaxState = TensorwiseState & { exp_avg: Tensor; exp_inf: Tensor };

/**
 * Adam with the infinity norm (D. Kingma and J. Ba 2015, section 7.1). With g the gradient plus `weightDecay * p` and
 * t the step from 1: `m = beta1 * m + (1 - beta1) * g`, `u = max(beta2 * u, |g| + eps)`,
 * `p -= lr / (1 - beta1^t) * m / u`.
 */
export class Adamax extends TensorwiseOptimizer<AdamaxParameters, AdamaxState> {
  static readonly parameters: ParameterTable = {
    ...common(2e-3),
    betas: betas(),
    eps: epsilon(1e-8),
    ...switches('foreach', 'capturable', 'differentiable'),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: AdamaxOptions = {}) {
    super(parameters, options, Adamax.parameters);
  }

  protected override initialState(): InitialState {
    return { numbers: { step: 0 }, tensors: { exp_avg: 0, exp_inf: 0 } };
  }

  protected override advance(
    parameter: Tensor,
    grad: Tensor,
    { step, exp_avg: moment, exp_inf: largest }: AdamaxState,
    { lr, betas: [beta1, beta2], eps }: ParameterGroup<AdamaxParameters>,
  ): void {
    moment.lerp_(grad, 1 - beta1);
    largest.copy_(maximum(largest.mul_(beta2), grad.abs().add_(eps)));
    parameter.addcdiv_(moment, largest, { value: -lr / (1 - beta1 ** step) });
  }
}
