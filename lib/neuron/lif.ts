import { finite, flag, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import { isTensor, lif, type Tensor } from '../tensor/index.js';
import {
  BaseNode,
  type BaseNodeOptions,
  type BaseNodeParameters,
  baseParameters,
  type MembraneArguments,
  type MembraneResult,
  numberOrTensor,
  shownParameter,
} from './base.js';

/** Options of `LIFNode`. */
export interface LIFNodeOptions extends BaseNodeOptions {
  /**
   * Membrane time constant in steps, > 1. A Parameter is learned; a tensor broadcasts to the shape of one step, batch
   * included, and its values are not checked. Default 2.
   */
  readonly tau?: number | Tensor | undefined;
  /** Whether the input is divided by tau as the leak is. Default true. */
  readonly decayInput?: boolean | undefined;
}

interface LIFParameters extends BaseNodeParameters {
  readonly tau: number | Tensor;
  readonly decayInput: boolean;
}

/**
 * Leaky integrate and fire. With z = vReset (0 for the soft reset) the charge is
 * `h = v + (x - (v - z)) / tau`, or `h = v - (v - z) / tau + x` without `decayInput`.
 */
export class LIFNode extends BaseNode {
  static readonly parameters: ParameterTable = {
    tau: parameter('tau', numberOrTensor(finite().gt(1).default(2))),
    decayInput: parameter('decay_input', flag().default(true)),
    ...baseParameters,
  };

  /** Membrane time constant in steps, > 1; a Parameter is learned. */
  tau: number | Tensor;
  /** Whether the input is divided by `tau` as the leak is. */
  decayInput: boolean;

  /** Takes the options in camelCase or under their established snake_case names. @throws ConfigError */
  constructor(options: LIFNodeOptions = {}) {
    const parameters = resolveParameters<LIFParameters>(LIFNode.parameters, options);
    super(parameters);
    this.tau = parameters.tau;
    this.decayInput = parameters.decayInput;
  }

  protected override integrate(xSeq: Tensor, v: Tensor, membrane: MembraneArguments): MembraneResult {
    const { tau, decayInput } = this;
    const leak = isTensor(tau) ? { tauTensor: tau.to(v.dtype) } : { tau };
    return lif(xSeq, v, { ...leak, decayInput, ...membrane });
  }

  protected override charge(x: Tensor, v: Tensor): Tensor {
    const { tau, decayInput, vReset } = this;
    const above = v.sub(vReset ?? 0);
    const over = (value: Tensor): Tensor => (isTensor(tau) ? value.div(tau.to(v.dtype)) : value.div(tau));
    return decayInput ? v.add(over(x.sub(above))) : v.sub(over(above)).add(x);
  }

  protected override describe(): string {
    return `tau=${shownParameter(this.tau)}, decayInput=${this.decayInput}, ${super.describe()}`;
  }
}
