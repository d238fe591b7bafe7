import { type ParameterTable, resolveParameters } from '../parameters.js';
import { integrateFire, type Tensor } from '../tensor/index.js';
import {
  BaseNode,
  type BaseNodeOptions,
  type BaseNodeParameters,
  baseParameters,
  type MembraneArguments,
  type MembraneResult,
} from './base.js';

/** Integrate and fire without leak: charge `h = v + x`. */
export class IFNode extends BaseNode {
  static readonly parameters: ParameterTable = baseParameters;

  /** Takes the options in camelCase or under their established snake_case names. @throws ConfigError */
  constructor(options: BaseNodeOptions = {}) {
    super(resolveParameters<BaseNodeParameters>(IFNode.parameters, options));
  }

  protected override integrate(xSeq: Tensor, v: Tensor, membrane: MembraneArguments): MembraneResult {
    return integrateFire(xSeq, v, membrane);
  }

  protected override charge(x: Tensor, v: Tensor): Tensor {
    return v.add(x);
  }
}
