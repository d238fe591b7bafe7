import { ShapeError } from '../errors.js';
import { checkOptions } from '../tensor/dispatch.js';
import { crossEntropyLoss, mseLoss, type Reduction, type Tensor } from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';
import { sameShape } from './arguments.js';
import { Module } from './module.js';
import { Buffer } from './parameter.js';

/** Options of every loss. */
export interface LossOptions {
  /** What becomes of the single values. Default 'mean'. */
  readonly reduction?: Reduction | undefined;
}

/** Options of `crossEntropy` and `CrossEntropyLoss`. */
export interface CrossEntropyOptions extends LossOptions {
  /** A factor for each class, `[classes]`. */
  readonly weight?: Tensor | null | undefined;
  /** Targets of this index do not count. Default -100. */
  readonly ignoreIndex?: number | undefined;
  /** Share of the target that is spread over all classes, in [0, 1]. Default 0. */
  readonly labelSmoothing?: number | undefined;
}

function checkReduction(reduction: unknown, loss: string): Reduction {
  if (reduction === 'none' || reduction === 'mean' || reduction === 'sum') return reduction;
  throw argumentError(loss, 'reduction', "'none', 'mean' or 'sum'", reduction);
}

/** Squared difference of two tensors of one shape. */
export class MSELoss extends Module {
  /** What becomes of the single values. */
  readonly reduction: Reduction;

  constructor(options: LossOptions = {}) {
    super();
    checkOptions(options, ['reduction'], 'MSELoss');
    this.reduction = checkReduction(options.reduction ?? 'mean', 'MSELoss');
  }

  /** @throws ShapeError for shapes that differ: broadcasting them is nearly always a mistake */
  override forward(input: Tensor, target: Tensor): Tensor {
    const [given, wanted] = [input.shape, target.shape];
    if (!sameShape(given, wanted)) {
      throw new ShapeError(
        `MSELoss: argument 'target' must have the shape [${given}] of the input, got [${wanted}]`,
      );
    }
    return mseLoss(input, target, this.reduction);
  }
}

const crossEntropyOptions = ['reduction', 'weight', 'ignoreIndex', 'labelSmoothing'] as const;

// libtorch takes a negative share for none, and a fraction of an index for its whole part.
function checkCrossEntropy(options: CrossEntropyOptions, loss: string): Required<CrossEntropyOptions> {
  checkOptions(options, crossEntropyOptions, loss);
  const { weight = null, ignoreIndex = -100, labelSmoothing = 0 } = options;
  if (typeof labelSmoothing !== 'number' || !(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw argumentError(loss, 'labelSmoothing', 'a number from 0 to 1', labelSmoothing);
  }
  if (!Number.isSafeInteger(ignoreIndex)) {
    throw argumentError(loss, 'ignoreIndex', 'a safe integer', ignoreIndex);
  }
  const reduction = checkReduction(options.reduction ?? 'mean', loss);
  return { reduction, weight, ignoreIndex, labelSmoothing };
}

/**
 * Cross entropy of logits `[N, classes, *]` or `[classes]` and class indices (int64, `[N, *]` or a single one) or class
 * probabilities (the logits' shape); the softmax is part of it. The mean divides by the weights of the targets' classes
 * where there are weights and indices. Formula: `torch.nn.functional.cross_entropy`; with label smoothing e the target
 * is 1 - e for the class and e / classes for each (C. Szegedy et al. 2016, section 7).
 * @throws TypeError for an option; ShapeError and TorchError for tensors that do not fit
 */
export function crossEntropy(input: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { weight, reduction, ignoreIndex, labelSmoothing } = checkCrossEntropy(options, 'crossEntropy');
  return crossEntropyLoss(input, target, weight, reduction, ignoreIndex, labelSmoothing);
}

/** `crossEntropy` as a module; the weights go where it goes. */
export class CrossEntropyLoss extends Module {
  /** What becomes of the single values. */
  readonly reduction: Reduction;
  /** Targets of this index do not count. */
  readonly ignoreIndex: number;
  /** Share of the target that is spread over all classes. */
  readonly labelSmoothing: number;
  /** A factor for each class, `[classes]`, or null. */
  weight: Buffer | null;

  constructor(options: CrossEntropyOptions = {}) {
    super();
    const checked = checkCrossEntropy(options, 'CrossEntropyLoss');
    this.reduction = checked.reduction as Reduction;
    this.ignoreIndex = checked.ignoreIndex as number;
    this.labelSmoothing = checked.labelSmoothing as number;
    this.weight = checked.weight ? new Buffer(checked.weight) : null;
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    const { weight, reduction, ignoreIndex, labelSmoothing } = this;
    return crossEntropy(input, target, { weight, reduction, ignoreIndex, labelSmoothing });
  }
}
