import type { Parameter } from '../nn/index.js';
import { learned } from '../nn/parameter.js';
import { finite, flag, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import { noGrad, parametricLif, type Tensor } from '../tensor/index.js';
import {
  BaseNode,
  type BaseNodeOptions,
  type BaseNodeParameters,
  baseParameters,
  type MembraneArguments,
  type MembraneResult,
} from './base.js';

/** Options of `ParametricLIFNode`. */
export interface ParametricLIFNodeOptions extends BaseNodeOptions {
  /** Membrane time constant in steps that learning begins with, > 1. Default 2. */
  readonly initTau?: number | undefined;
  /** Whether the input decays with the membrane. Default true. */
  readonly decayInput?: boolean | undefined;
}

interface ParametricLIFParameters extends BaseNodeParameters {
  readonly initTau: number;
  readonly decayInput: boolean;
}

/**
 * Parametric leaky integrate and fire (W. Fang et al. 2021): the neurons of a layer learn one time constant through
 * `w`, with r = sigmoid(w) = 1/tau. With z = vReset (0 for the soft reset) the charge is `h = v + (x - (v - z)) * r`, or
 * `h = v - (v - z) * r + x` without `decayInput`.
 */
export class ParametricLIFNode extends BaseNode {
  static readonly parameters: ParameterTable = {
    initTau: parameter('init_tau', finite().gt(1).default(2)),
    decayInput: parameter('decay_input', flag().default(true)),
    ...baseParameters,
  };

  /** -ln(tau - 1); one number, shape `[]`. */
  readonly w: Parameter;
  /** Whether the input is multiplied by r as the leak is. */
  decayInput: boolean;

  /** Takes the options in camelCase or under their established snake_case names. @throws ConfigError */
  constructor(options: ParametricLIFNodeOptions = {}) {
    const parameters = resolveParameters<ParametricLIFParameters>(ParametricLIFNode.parameters, options);
    super(parameters);
    this.decayInput = parameters.decayInput;
    this.w = learned([]);
    noGrad(() => this.w.fill_(-Math.log(parameters.initTau - 1)));
  }

  /** The time constant in steps that `w` stands for. */
  get tau(): number {
    return 1 + Math.exp(-(this.w.item() as number));
  }

  protected override integrate(xSeq: Tensor, v: Tensor, membrane: MembraneArguments): MembraneResult {
    return parametricLif(xSeq, v, { w: this.w.to(v.dtype), decayInput: this.decayInput, ...membrane });
  }

  protected override charge(x: Tensor, v: Tensor): Tensor {
    const above = v.sub(this.vReset ?? 0);
    const rate = this.w.to(v.dtype).sigmoid();
    return this.decayInput ? v.add(x.sub(above).mul(rate)) : v.sub(above.mul(rate)).add(x);
  }

  protected override describe(): string {
    return `tau=${this.tau}, decayInput=${this.decayInput}, ${super.describe()}`;
  }
}
