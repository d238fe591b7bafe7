import { flag, type ParameterTable, parameter } from '../../parameters.js';
import { full, type Tensor } from '../../tensor/index.js';
import { _fusedAdam_, _fusedAdamw_ } from '../../tensor/internal.generated.js';
import {
  type Bucket,
  type Hyperparameters,
  type ImplementationOptions,
  type InitialState,
  type Optimized,
  Optimizer,
  type ParameterGroup,
} from '../optimizer.js';
import { betas, common, epsilon, switches } from './tables.js';

/** Options of `AdamW`. */
export interface AdamWOptions extends ImplementationOptions {
  /** Default 1e-3. */
  readonly lr?: number;
  /** Decay rates of the two moments, >= 0 and < 1. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment. Default 1e-8. */
  readonly eps?: number;
  /** Default 1e-2 for AdamW, 0 for Adam. */
  readonly weightDecay?: number;
  /** Divide by the largest second moment so far. Default false. */
  readonly amsgrad?: boolean;
  /** Go up instead of down. Default false. */
  readonly maximize?: boolean;
}

/** Options of `Adam`. */
export interface AdamOptions extends AdamWOptions {
  /** Decay the parameters themselves, as AdamW does, instead of adding to the gradient. Default false. */
  readonly decoupledWeightDecay?: boolean;
}

type AdamParameters = Hyperparameters<AdamWOptions>;

function adamTable(weightDecay: number): ParameterTable {
  return {
    ...common(1e-3, weightDecay),
    betas: betas(),
    eps: epsilon(1e-8),
    amsgrad: parameter('amsgrad', flag().default(false)),
    ...switches('foreach', 'capturable', 'differentiable', 'fused'),
  };
}

// What Adam and AdamW share: everything but where the weight decay goes.
abstract class AdamFamily<H extends AdamParameters> extends Optimizer<H> {
  /** Whether the decay goes to the parameters and not to the gradient. */
  protected abstract isDecoupled(group: ParameterGroup<H>): boolean;

  protected override initialState({ amsgrad }: Readonly<H>): InitialState {
    const largest = amsgrad ? { max_exp_avg_sq: 0 } : {};
    return { numbers: { step: 0 }, tensors: { exp_avg: 0, exp_avg_sq: 0, ...largest } };
  }

  protected override update(group: ParameterGroup<H>, { params, grads }: Bucket): void {
    const states = params.map((parameter) => this.stateOf(parameter, group) as { step: number });
    for (const own of states) own.step += 1;
    const moments = (name: string): Tensor[] =>
      states.map((own) => (own as Record<string, unknown>)[name] as Tensor);
    // Parameters of the same age share one tensor for it.
    const ages = new Map<number, Tensor>();
    const steps = states.map(({ step }) => {
      const age = ages.get(step) ?? full([], step, { device: params[0]!.device });
      ages.set(step, age);
      return age;
    });
    const [beta1, beta2] = group.betas;
    const { lr, weightDecay, eps, amsgrad, maximize } = group;
    const operator = this.isDecoupled(group) ? _fusedAdamw_ : _fusedAdam_;
    const largest = amsgrad ? moments('max_exp_avg_sq') : [];
    const options = { lr, beta1, beta2, weightDecay, eps, amsgrad, maximize };
    operator(params, grads, moments('exp_avg'), moments('exp_avg_sq'), largest, steps, options);
  }
}

/**
 * Adam (D. Kingma and J. Ba 2015). With g the gradient plus `weightDecay * p` and t the step from 1:
 * `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) * g^2`,
 * `p -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)`.
 */
export class Adam extends AdamFamily<Hyperparameters<AdamOptions>> {
  static readonly parameters: ParameterTable = {
    ...adamTable(0),
    decoupledWeightDecay: parameter('decoupled_weight_decay', flag().default(false)),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: AdamOptions = {}) {
    super(parameters, options, Adam.parameters);
  }

  protected override isDecoupled(group: { readonly decoupledWeightDecay: boolean }): boolean {
    return group.decoupledWeightDecay;
  }
}

/** Adam with decoupled weight decay (I. Loshchilov and F. Hutter 2019): `p -= lr * weightDecay * p` before the step. */
export class AdamW extends AdamFamily<AdamParameters> {
  static readonly parameters: ParameterTable = adamTable(1e-2);

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Optimized, options: AdamWOptions = {}) {
    super(parameters, options, AdamW.parameters);
  }

  protected override isDecoupled(): boolean {
    return true;
  }
}
