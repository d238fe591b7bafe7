import { ConfigError, type ConfigPath } from '../errors.js';
import { crossEntropy } from '../nn/index.js';
import {
  finite,
  list,
  oneOf,
  type ParameterTable,
  parameter,
  positive,
  resolveParameters,
} from '../parameters.js';
import { Registry } from '../registry.js';
import { mseLoss, oneHot, type Tensor, tensor } from '../tensor/index.js';

/** What is made small in training. */
export interface Loss {
  /** Whether a batch's loss is a mean over it (the default) or the sum. */
  readonly reduction?: 'mean' | 'sum';
  /**
   * The loss of a batch, one element.
   * @param outputs `[N, classes]`, averaged over time
   * @param targets class indices `[N]`, int64
   */
  compute(outputs: Tensor, targets: Tensor): Tensor;
  /**
   * What the mean over a batch divides by, so that the mean over all batches can be told. Default: the samples.
   * @param targets class indices
   */
  weightOf?(targets: ArrayLike<number>): number;
  /**
   * Told before the first batch, where the loss is for some number of classes only.
   * @param path where the loss is configured
   * @throws ConfigError
   */
  checkClasses?(classes: number, path: ConfigPath): void;
}

/** A class of losses with the table of its parameters. */
export interface LossClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (options?: any): Loss;
  readonly parameters: ParameterTable;
}

/** What every loss takes. */
export interface LossParameters {
  /** Whether the loss of a batch is its mean (default) or its sum. Reports have the mean over all samples in any case. */
  readonly reduction?: 'mean' | 'sum';
}

/** What `CrossEntropy` takes. */
export interface CrossEntropyParameters extends LossParameters {
  /** Share of the target that is spread over all classes, in [0, 1]. Default 0. */
  readonly labelSmoothing?: number;
  /** A factor > 0 for each class. Default: none. */
  readonly weight?: readonly number[];
}

const reductionParameter = parameter('reduction', oneOf(['mean', 'sum']).default('mean'));

/** Cross entropy of the outputs, taken as logits, and the class: `crossEntropy`. The mean is weighted as there. */
export class CrossEntropy implements Loss {
  static readonly parameters: ParameterTable = {
    labelSmoothing: parameter('label_smoothing', finite().min(0).max(1).default(0)),
    weight: parameter('weight', list(positive()).min(1).optional()),
    reduction: reductionParameter,
  };

  /** As in the options, like the next two. */
  readonly labelSmoothing: number;
  /** A factor for each class; undefined for none. */
  readonly weight: readonly number[] | undefined;
  readonly reduction: 'mean' | 'sum';

  /** Options in either spelling. @throws ConfigError */
  constructor(options: CrossEntropyParameters = {}) {
    const own = resolveParameters<CrossEntropyParameters>(CrossEntropy.parameters, options);
    this.labelSmoothing = own.labelSmoothing as number;
    this.weight = own.weight;
    this.reduction = own.reduction as 'mean' | 'sum';
  }

  /** @throws ConfigError if there are not as many weights as classes */
  compute(outputs: Tensor, targets: Tensor): Tensor {
    const { labelSmoothing, reduction } = this;
    return crossEntropy(outputs, targets, { weight: this.#weightsFor(outputs), reduction, labelSmoothing });
  }

  weightOf(targets: ArrayLike<number>): number {
    const { weight } = this;
    if (weight === undefined || this.reduction === 'sum') return targets.length;
    let total = 0;
    for (let i = 0; i < targets.length; i++) total += weight[targets[i]!]!;
    return total;
  }

  checkClasses(classes: number, path: ConfigPath): void {
    const { weight } = this;
    if (weight === undefined || weight.length === classes) return;
    throw new ConfigError(
      [...path, 'params', 'weight'],
      `${classes} numbers, one for each class`,
      `${weight.length}`,
    );
  }

  #weightsFor({ shape, dtype, device }: Tensor): Tensor | null {
    if (this.weight === undefined) return null;
    this.checkClasses(shape[1]!, ['loss']);
    return tensor(this.weight, { dtype, device });
  }
}

/** Squared difference to 1 for the class and 0 for the others, over samples and outputs. */
export class MeanSquaredError implements Loss {
  static readonly parameters: ParameterTable = { reduction: reductionParameter };

  readonly reduction: 'mean' | 'sum';

  /** @throws ConfigError */
  constructor(options: LossParameters = {}) {
    const own = resolveParameters<LossParameters>(MeanSquaredError.parameters, options);
    this.reduction = own.reduction as 'mean' | 'sum';
  }

  compute(outputs: Tensor, targets: Tensor): Tensor {
    return mseLoss(outputs, oneHot(targets, outputs.shape[1]).to(outputs.dtype), this.reduction);
  }
}

/** Losses by the names that configurations use. */
export const losses: Registry<LossClass> = new Registry<LossClass>('loss', {
  crossentropy: CrossEntropy,
  mse: MeanSquaredError,
});
