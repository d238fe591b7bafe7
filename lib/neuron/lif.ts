import { z } from 'zod';
import { flag, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import { lif, type Tensor } from '../tensor/index.js';
import {
  BaseNode,
  type BaseNodeOptions,
  type BaseNodeParameters,
  baseParameters,
  type MembraneArguments,
  type MembraneResult,
} from './base.js';

export interface LIFNodeOptions extends BaseNodeOptions {
  /** Membrane time constant in steps, > 1. Default 2. */
  readonly tau?: number | undefined;
  /** Whether the input is divided by tau as the leak is. Default true. */
  readonly decayInput?: boolean | undefined;
}

interface LIFParameters extends BaseNodeParameters {
  readonly tau: number;
  readonly decayInput: boolean;
}

/**
 * Leaky integrate and fire. With z = vReset (0 for the soft reset) the charge is
 * `h = v + (x - (v - z)) / tau`, or `h = v - (v - z) / tau + x` without `decayInput`.
 */
export class LIFNode extends BaseNode {
  static readonly parameters: ParameterTable = {
    tau: parameter('tau', z.number().gt(1).default(2)),
    decayInput: parameter('decay_input', flag().default(true)),
    ...baseParameters,
  };

  /** Membrane time constant in steps, > 1. */
  tau: number;
  decayInput: boolean;

  /** Takes the options in camelCase or under their established snake_case names. @throws ConfigError */
  constructor(options: LIFNodeOptions = {}) {
    const parameters = resolveParameters<LIFParameters>(LIFNode.parameters, options);
    super(parameters);
    this.tau = parameters.tau;
    this.decayInput = parameters.decayInput;
  }

  protected override integrate(xSeq: Tensor, v: Tensor, membrane: MembraneArguments): MembraneResult {
    return lif(xSeq, v, { tau: this.tau, decayInput: this.decayInput, ...membrane });
  }

  protected override describe(): string {
    return `tau=${this.tau}, decayInput=${this.decayInput}, ${super.describe()}`;
  }
}
