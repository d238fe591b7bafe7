import { finite, type ParameterTable, parameter } from '../../parameters.js';
import type { Tensor } from '../../tensor/index.js';
import type {
  Hyperparameters,
  ImplementationOptions,
  InitialState,
  Optimized,
  ParameterGroup,
} from '../optimizer.js';
import { common, switches } from './tables.js';
import { TensorwiseOptimizer, type TensorwiseState } from './tensorwise.js';

/** Options of `ASGD`. */
export interface ASGDOptions extends Omit<ImplementationOptions, 'fused'> {
  /** Default 1e-2. */
  readonly lr?: number;
  /** Decay of the parameters, and of the rate with the steps. Default 1e-4. */
  readonly lambd?: number;
  /** Power of the rate's decay. Default 0.75. */
  readonly alpha?: number;
  /** The step after which the average begins. Default 1e6. */
  readonly t0?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type ASGDParameters = Hyperparameters<ASGDOptions>;
type ASGDState = TensorwiseState & { eta: number; mu: number; ax: Tensor };

/**
 * Averaged stochastic gradient descent (B. Polyak and A. Juditsky 1992). With g the gradient plus `weightDecay * p` and
 * t the step from 1: `p = (1 - lambd * eta) * p - eta * g`, then `eta = lr / (1 + lambd * lr * t)^alpha`. The average of the
 * parameters from step `t0` on is the state `ax`; the parameters themselves are not averaged.
 */
export class ASGD extends TensorwiseOptimizer<ASGDParameters, ASGDState> {
  static readonly parameters: ParameterTable = {
    ...common(1e-2),
    lambd: parameter('lambd', () => finite().default(1e-4)),
    alpha: parameter('alpha', () => finite().default(0.75)),
    t0: parameter('t0', () => finite().default(1e6)),
    ...switches('foreach', 'capturable', 'differentiable'),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: ASGDOptions = {}) {
    super(parameters, options, ASGD.parameters);
  }

  protected override initialState({ lr }: ASGDParameters): InitialState {
    return { numbers: { step: 0, eta: Math.fround(lr), mu: 1 }, tensors: { ax: 0 } };
  }

  protected override advance(
    parameter: Tensor,
    grad: Tensor,
    state: ASGDState,
    { lr, lambd, alpha, t0 }: ParameterGroup<ASGDParameters>,
  ): void {
    const { step, eta, mu, ax } = state;
    parameter.mul_(1 - lambd * eta).add_(grad, { alpha: -eta });
    if (mu === 1) ax.copy_(parameter);
    else ax.add_(parameter.sub(ax).mul_(mu));
    // PyTorch keeps these two in float32; a state that went through a file must go on with the same bits.
    state.eta = Math.fround(lr / (1 + lambd * lr * step) ** alpha);
    state.mu = Math.fround(1 / Math.max(1, step - t0));
  }
}
