import { ShapeError } from '../errors.js';
import { checkOptions } from '../tensor/dispatch.js';
import { type DType, linear, type Tensor } from '../tensor/index.js';
import { checkInteger } from './arguments.js';
import { defaultWeights } from './init.js';
import type { Parameter } from './parameter.js';
import { learned } from './parameter.js';
import { applyRepeated, StepModule, type StepOptions } from './step-module.js';

/** Options of the layers with weights. */
export interface WeightOptions extends StepOptions {
  /** Whether a bias is added. Default true. */
  readonly bias?: boolean | undefined;
  /** Of the weights. Default float32. */
  readonly dtype?: DType | undefined;
}

/**
 * `y = x W^T + b` over the last dimension: `[*, inFeatures]` -> `[*, outFeatures]`, the same in both step modes.
 * Weights start as PyTorch's: U(-1/sqrt(inFeatures), 1/sqrt(inFeatures)).
 */
export class Linear extends StepModule {
  /** Size of the input's last dimension. */
  readonly inFeatures: number;
  /** Size of the output's last dimension. */
  readonly outFeatures: number;
  /** `[outFeatures, inFeatures]` */
  weight: Parameter;
  /** `[outFeatures]`, or null */
  bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: WeightOptions = {}) {
    checkOptions(options, ['bias', 'dtype', 'stepMode'], 'Linear');
    super(options.stepMode);
    this.inFeatures = checkInteger(inFeatures, 1, 'Linear', 'inFeatures');
    this.outFeatures = checkInteger(outFeatures, 1, 'Linear', 'outFeatures');
    this.weight = learned([outFeatures, inFeatures], options.dtype);
    this.bias = (options.bias ?? true) ? learned([outFeatures], options.dtype) : null;
    defaultWeights(this.weight, this.bias);
  }

  /** @throws ShapeError for another last dimension */
  override forward(x: Tensor): Tensor {
    if (x.shape.at(-1) !== this.inFeatures) {
      throw new ShapeError(
        `Linear: argument 'x' must have ${this.inFeatures} features in its last dimension, got shape [${x.shape}]`,
      );
    }
    const apply = (y: Tensor): Tensor => linear(y, this.weight, this.bias);
    return (this.stepMode === 'm' ? applyRepeated(x, apply) : null) ?? apply(x);
  }

  protected override describe(): string {
    return `inFeatures=${this.inFeatures}, outFeatures=${this.outFeatures}, bias=${this.bias !== null}`;
  }
}
