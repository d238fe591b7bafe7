import { finite, flag, list, type ParameterTable, parameter } from '../parameters.js';
import { full, keep, type Tensor, zerosLike } from '../tensor/index.js';
import { _fusedAdam_, _fusedAdamw_ } from '../tensor/internal.generated.js';
import {
  type Bucket,
  type CommonParameters,
  Optimizer,
  type ParameterGroup,
  type ParameterGroupOptions,
} from './optimizer.js';

export interface AdamWOptions {
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

export interface AdamOptions extends AdamWOptions {
  /** Decay the parameters themselves, as AdamW does, instead of adding to the gradient. Default false. */
  readonly decoupledWeightDecay?: boolean;
}

interface AdamParameters extends CommonParameters {
  betas: readonly [number, number];
  eps: number;
  weightDecay: number;
  amsgrad: boolean;
  maximize: boolean;
}

function adamTable(weightDecay: number): ParameterTable {
  return {
    lr: parameter('lr', finite().min(0).default(1e-3)),
    betas: parameter(
      'betas',
      list(finite().min(0).lt(1))
        .length(2)
        .describe('a list of two numbers >= 0 and < 1')
        .default([0.9, 0.999]),
    ),
    eps: parameter('eps', finite().min(0).default(1e-8)),
    weightDecay: parameter('weight_decay', finite().min(0).default(weightDecay)),
    amsgrad: parameter('amsgrad', flag().default(false)),
    maximize: parameter('maximize', flag().default(false)),
  };
}

// What Adam and AdamW share: everything but where the weight decay goes.
abstract class AdamFamily<H extends AdamParameters> extends Optimizer<H> {
  protected abstract isDecoupled(group: ParameterGroup<H>): boolean;

  protected override update(group: ParameterGroup<H>, { params, grads }: Bucket): void {
    const states = params.map((parameter) => this.#advanced(parameter, group.amsgrad));
    const moments = (name: string): Tensor[] => states.map((own) => own[name] as Tensor);
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

  #advanced(parameter: Tensor, amsgrad: boolean): { step: number } & Record<string, Tensor | number> {
    const own = this.state.get(parameter) ?? { step: 0 };
    this.state.set(parameter, own);
    own['step'] = (own['step'] as number) + 1;
    own['exp_avg'] ??= keep(zerosLike(parameter));
    own['exp_avg_sq'] ??= keep(zerosLike(parameter));
    if (amsgrad) own['max_exp_avg_sq'] ??= keep(zerosLike(parameter));
    return own as { step: number } & Record<string, Tensor | number>;
  }
}

/**
 * Adam (D. Kingma and J. Ba 2015). With g the gradient plus `weightDecay * p` and t the step from 1:
 * `m = beta1 * m + (1 - beta1) * g`, `v = beta2 * v + (1 - beta2) * g^2`,
 * `p -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)`.
 */
export class Adam extends AdamFamily<AdamParameters & { decoupledWeightDecay: boolean }> {
  static readonly parameters: ParameterTable = {
    ...adamTable(0),
    decoupledWeightDecay: parameter('decoupled_weight_decay', flag().default(false)),
  };

  /** Options in either spelling. @throws ConfigError, TypeError */
  constructor(parameters: Iterable<Tensor> | Iterable<ParameterGroupOptions>, options: AdamOptions = {}) {
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
  constructor(parameters: Iterable<Tensor> | Iterable<ParameterGroupOptions>, options: AdamWOptions = {}) {
    super(parameters, options, AdamW.parameters);
  }

  protected override isDecoupled(): boolean {
    return true;
  }
}
