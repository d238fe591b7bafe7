import { ConfigError, type ConfigPath } from '../../errors.js';
import { finite, flag, type ParameterTable, parameter } from '../../parameters.js';
import type { Tensor } from '../../tensor/index.js';
import { _fusedSgd_ } from '../../tensor/internal.generated.js';
import {
  type Bucket,
  type Hyperparameters,
  type ImplementationOptions,
  type InitialState,
  type Optimized,
  Optimizer,
  type ParameterGroup,
} from '../optimizer.js';
import { switches } from './tables.js';

/** Options of `SGD`. */
export interface SGDOptions extends Omit<ImplementationOptions, 'capturable'> {
  /** Default 1e-3. */
  readonly lr?: number;
  /** Default 0. */
  readonly momentum?: number;
  /** Default 0. */
  readonly dampening?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  readonly weightDecay?: number;
  /** Nesterov's momentum; needs a momentum and no dampening. Default false. */
  readonly nesterov?: boolean;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

type SGDParameters = Hyperparameters<SGDOptions>;

/**
 * Stochastic gradient descent. With g the gradient plus `weightDecay * p`: the momentum buffer b is g at first, then
 * `b = momentum * b + (1 - dampening) * g`; the update is `p -= lr * b`, with `g + momentum * b` for b if `nesterov`.
 */
export class SGD extends Optimizer<SGDParameters> {
  static readonly parameters: ParameterTable = {
    lr: parameter('lr', () => finite().min(0).default(1e-3)),
    momentum: parameter('momentum', () => finite().min(0).default(0)),
    dampening: parameter('dampening', () => finite().default(0)),
    weightDecay: parameter('weight_decay', () => finite().min(0).default(0)),
    nesterov: parameter('nesterov', () => flag().default(false)),
    maximize: parameter('maximize', () => flag().default(false)),
    ...switches('foreach', 'differentiable', 'fused'),
  };

  /** What the table cannot tell. @throws ConfigError */
  static check({ momentum, dampening, nesterov }: SGDParameters, path: ConfigPath): void {
    if (!nesterov) return;
    if (momentum === 0) throw new ConfigError([...path, 'momentum'], 'a number > 0 with nesterov', '0');
    if (dampening !== 0) {
      throw new ConfigError([...path, 'dampening'], '0 with nesterov', String(dampening));
    }
  }

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: SGDOptions = {}) {
    super(parameters, options, SGD.parameters, SGD.check);
  }

  protected override initialState({ momentum }: SGDParameters): InitialState {
    return { numbers: {}, tensors: momentum === 0 ? {} : { momentum_buffer: 0 } };
  }

  protected override update(group: ParameterGroup<SGDParameters>, { params, grads }: Bucket): void {
    if (group.momentum === 0) {
      this.#apply(group, params, grads, [], false);
      return;
    }
    // The first gradient of a parameter becomes its buffer as it is, whenever it comes.
    const isNew = params.map((parameter) => !('momentum_buffer' in (this.state.get(parameter) ?? {})));
    for (const isFirst of [true, false]) {
      const indices = params.map((_, i) => i).filter((i) => isNew[i] === isFirst);
      if (indices.length === 0) continue;
      const chosen = indices.map((i) => params[i]!);
      const buffers = chosen.map((parameter) => this.stateOf(parameter, group)['momentum_buffer'] as Tensor);
      this.#apply(
        group,
        chosen,
        indices.map((i) => grads[i]!),
        buffers,
        isFirst,
      );
    }
  }

  #apply(
    group: ParameterGroup<SGDParameters>,
    params: readonly Tensor[],
    grads: readonly Tensor[],
    buffers: readonly Tensor[],
    isFirstStep: boolean,
  ): void {
    const { lr, momentum, dampening, weightDecay, nesterov, maximize } = group;
    const options = { lr, momentum, dampening, weightDecay, nesterov, maximize, isFirstStep };
    _fusedSgd_(params, grads, buffers, options);
  }
}
