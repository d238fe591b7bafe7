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

/** Options of `Adadelta`. */
export interface AdadeltaOptions extends Omit<ImplementationOptions, 'fused'> {
  /** Factor of the update. Default 1. */
  readonly lr?: number;
  /** Decay rate of both averages, in [0, 1]. Default 0.9. */
  readonly rho?: number;
  /** Default 1e-6. */
  readonly eps?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type AdadeltaParameters = Hyperparameters<AdadeltaOptions>;
type AdadeltaState = TensorwiseState & { square_avg: Tensor; acc_delta: Tensor };

/**
 * Adadelta (M. Zeiler 2012). With g the gradient plus `weightDecay * p`: `v = rho * v + (1 - rho) * g^2`,
 * `d = sqrt(u + eps) / sqrt(v + eps) * g`, `u = rho * u + (1 - rho) * d^2`, `p -= lr * d`.
 */
export class Adadelta extends TensorwiseOptimizer<AdadeltaParameters, AdadeltaState> {
  static readonly parameters: ParameterTable = {
    ...common(1),
    rho: parameter('rho', () => finite().min(0).max(1).default(0.9)),
    eps: epsilon(1e-6),
    ...switches('foreach', 'capturable', 'differentiable'),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: AdadeltaOptions = {}) {
    super(parameters, options, Adadelta.parameters);
  }

  protected override initialState(): InitialState {
    return { numbers: { step: 0 }, tensors: { square_avg: 0, acc_delta: 0 } };
  }

  protected override advance(
    parameter: Tensor,
    grad: Tensor,
    { square_avg: square, acc_delta: moved }: AdadeltaState,
    { lr, rho, eps }: ParameterGroup<AdadeltaParameters>,
  ): void {
    square.mul_(rho).addcmul_(grad, grad, { value: 1 - rho });
    const delta = moved.add(eps).sqrt_().div_(square.add(eps).sqrt_()).mul_(grad);
    moved.mul_(rho).addcmul_(delta, delta, { value: 1 - rho });
    parameter.add_(delta, { alpha: -lr });
  }
}
