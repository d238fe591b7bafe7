import { flag, type ParameterTable, parameter } from '../../parameters.js';
import type { Tensor } from '../../tensor/index.js';
import type {
  Hyperparameters,
  ImplementationOptions,
  InitialState,
  Optimized,
  ParameterGroup,
} from '../optimizer.js';
import { betas, common, epsilon, switches } from './tables.js';
import { TensorwiseOptimizer, type TensorwiseState } from './tensorwise.js';

/** Options of `RAdam`. */
export interface RAdamOptions extends Omit<ImplementationOptions, 'fused'> {
  /** Default 1e-3. */
  readonly lr?: number;
  /** Decay rates of the two moments, >= 0 and < 1. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-8. */
  readonly eps?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** Decay the parameters themselves, as AdamW does, instead of adding to the gradient. Default false. */
  readonly decoupledWeightDecay?: boolean;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type RAdamParameters = Hyperparameters<RAdamOptions>;
type RAdamState = TensorwiseState & { exp_avg: Tensor; exp_avg_sq: Tensor };

/**
 * Rectified Adam (L. Liu et al. 2020). Moments as Adam's; with t the step from 1, `R = 2 / (1 - beta2) - 1` and
 * `r = R - 2 * t * beta2^t / (1 - beta2^t)`: where r > 5,
 * `p -= lr * m / (1 - beta1^t) * sqrt(1 - beta2^t) / (sqrt(v) + eps) * sqrt((r - 4) * (r - 2) * R / ((R - 4) * (R - 2) * r))`,
 * else `p -= lr * m / (1 - beta1^t)`.
 */
export class RAdam extends TensorwiseOptimizer<RAdamParameters, RAdamState> {
  static readonly parameters: ParameterTable = {
    ...common(1e-3),
    betas: betas(),
    eps: epsilon(1e-8),
    decoupledWeightDecay: parameter('decoupled_weight_decay', () => flag().default(false)),
    ...switches('foreach', 'capturable', 'differentiable'),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: RAdamOptions = {}) {
    super(parameters, options, RAdam.parameters);
  }

  protected override initialState(): InitialState {
    return { numbers: { step: 0 }, tensors: { exp_avg: 0, exp_avg_sq: 0 } };
  }

  protected override advance(
    parameter: Tensor,
    grad: Tensor,
    { step, exp_avg: moment, exp_avg_sq: square }: RAdamState,
    { lr, betas: [beta1, beta2], eps }: ParameterGroup<RAdamParameters>,
  ): void {
    moment.lerp_(grad, 1 - beta1);
    square.mul_(beta2).addcmul_(grad, grad, { value: 1 - beta2 });
    const correction = 1 - beta2 ** step;
    const longest = 2 / (1 - beta2) - 1;
    const length = longest - (2 * step * beta2 ** step) / correction;
    const delta = moment.div(1 - beta1 ** step).mul_(lr);
    // Before that the variance of the second moment cannot be told.
    if (length > 5) {
      const rectified = ((length - 4) * (length - 2) * longest) / ((longest - 4) * (longest - 2) * length);
      delta.mul_(square.sqrt().add_(eps).reciprocal().mul_(Math.sqrt(correction)));
      delta.mul_(Math.sqrt(rectified));
    }
    parameter.sub_(delta);
  }
}
