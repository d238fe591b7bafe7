import { finite, flag, type ParameterTable, parameter } from '../../parameters.js';
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

/** Options of `NAdam`. */
export interface NAdamOptions extends Omit<ImplementationOptions, 'fused'> {
  /** Default 2e-3. */
  readonly lr?: number;
  /** Decay rates of the two moments, >= 0 and < 1. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-8. */
  readonly eps?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** How fast the momentum reaches beta1. Default 4e-3. */
  readonly momentumDecay?: number;
  /** Decay the parameters themselves, as AdamW does, instead of adding to the gradient. Default false. */
  readonly decoupledWeightDecay?: boolean;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type NAdamParameters = Hyperparameters<NAdamOptions>;
type NAdamState = TensorwiseState & { mu_product: number; exp_avg: Tensor; exp_avg_sq: Tensor };

/**
 * Adam with Nesterov's momentum (T. Dozat 2016). With g the gradient plus `weightDecay * p`, t the step from 1 and
 * `mu(t) = beta1 * (1 - 0.96^(t * momentumDecay) / 2)`, whose product up to t is M(t):
 * `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) * g^2`,
 * `p -= lr * ((1 - mu(t)) * g / (1 - M(t)) + mu(t + 1) * m / (1 - M(t + 1))) / (sqrt(v / (1 - beta2^t)) + eps)`.
 */
export class NAdam extends TensorwiseOptimizer<NAdamParameters, NAdamState> {
  static readonly parameters: ParameterTable = {
    ...common(2e-3),
    betas: betas(),
    eps: epsilon(1e-8),
    momentumDecay: parameter('momentum_decay', () => finite().min(0).default(4e-3)),
    decoupledWeightDecay: parameter('decoupled_weight_decay', () => flag().default(false)),
    ...switches('foreach', 'capturable', 'differentiable'),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: NAdamOptions = {}) {
    super(parameters, options, NAdam.parameters);
  }

  protected override initialState(): InitialState {
    return { numbers: { step: 0, mu_product: 1 }, tensors: { exp_avg: 0, exp_avg_sq: 0 } };
  }

  protected override advance(
    parameter: Tensor,
    grad: Tensor,
    state: NAdamState,
    { lr, betas: [beta1, beta2], eps, momentumDecay }: ParameterGroup<NAdamParameters>,
  ): void {
    const { step, exp_avg: moment, exp_avg_sq: square } = state;
    const momentum = (t: number): number => beta1 * (1 - 0.5 * 0.96 ** (t * momentumDecay));
    const [mu, muNext] = [momentum(step), momentum(step + 1)];
    // PyTorch keeps the product in float32; a state that went through a file must go on with the same bits.
    state.mu_product = Math.fround(state.mu_product * Math.fround(mu));
    moment.lerp_(grad, 1 - beta1);
    square.mul_(beta2).addcmul_(grad, grad, { value: 1 - beta2 });
    const size = square
      .div(1 - beta2 ** step)
      .sqrt_()
      .add_(eps);
    parameter.addcdiv_(grad, size, { value: (-lr * (1 - mu)) / (1 - state.mu_product) });
    parameter.addcdiv_(moment, size, { value: (-lr * muNext) / (1 - state.mu_product * muNext) });
  }
}
