import type { ParameterTable } from '../parameters.js';
import { Registry } from '../registry.js';
import { crossEntropyLoss, mseLoss, oneHot, type Tensor } from '../tensor/index.js';

/** What is made small in training. */
export interface Loss {
  /**
   * The mean over a batch, one element.
   * @param outputs `[N, classes]`, averaged over time
   * @param targets class indices `[N]`, int64
   */
  compute(outputs: Tensor, targets: Tensor): Tensor;
}

/** A class of losses with the table of its parameters. */
export interface LossClass {
  new (options?: Readonly<Record<string, unknown>>): Loss;
  readonly parameters: ParameterTable;
}

/** Mean cross entropy of the outputs, taken as logits, and the class. */
export class CrossEntropy implements Loss {
  static readonly parameters: ParameterTable = {};

  compute(outputs: Tensor, targets: Tensor): Tensor {
    return crossEntropyLoss(outputs, targets);
  }
}

/** Mean over samples and outputs of the squared difference to 1 for the class and 0 for the others. */
export class MeanSquaredError implements Loss {
  static readonly parameters: ParameterTable = {};

  compute(outputs: Tensor, targets: Tensor): Tensor {
    return mseLoss(outputs, oneHot(targets, outputs.shape[1]).to(outputs.dtype));
  }
}

/** Losses by the names that configurations use. */
export const losses: Registry<LossClass> = new Registry<LossClass>('loss', {
  crossentropy: CrossEntropy,
  mse: MeanSquaredError,
});
