import { ShapeError } from '../errors.js';
import { checkOptions } from '../tensor/dispatch.js';
import { crossEntropyLoss, mseLoss, type Reduction, type Tensor } from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';
import { Module } from './module.js';
import { Buffer } from './parameter.js';

export interface LossOptions {
  /** What becomes of the single values. Default 'mean'. */
  readonly reduction?: Reduction | undefined;
}

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
  readonly reduction: Reduction;

  constructor(options: LossOptions = {}) {
    super();
    checkOptions(options, ['reduction'], 'MSELoss');
    this.reduction = checkReduction(options.reduction ?? 'mean', 'MSELoss');
  }

  /** @throws ShapeError for shapes that differ: broadcasting them is nearly always a mistake */
  override forward(input: Tensor, target: Tensor): Tensor {
    const [given, wanted] = [input.shape, target.shape];
    if (given.length !== wanted.length || given.some((size, i) => size !== wanted[i])) {
      throw new ShapeError(
        `MSELoss: argument 'target' must have the shape [${given}] of the input, got [${wanted}]`,
      );
    }
    return mseLoss(input, target, this.reduction);
  }
}

/**
 * Cross entropy of logits `[N, classes, *]` and class indices (int64, `[N, *]`) or class probabilities (the logits'
 * shape); the softmax is part of it.
 */
export class CrossEntropyLoss extends Module {
  readonly reduction: Reduction;
  readonly ignoreIndex: number;
  readonly labelSmoothing: number;
  weight: Buffer | null;

  constructor(options: CrossEntropyOptions = {}) {
    super();
    checkOptions(options, ['reduction', 'weight', 'ignoreIndex', 'labelSmoothing'], 'CrossEntropyLoss');
    this.reduction = checkReduction(options.reduction ?? 'mean', 'CrossEntropyLoss');
    this.ignoreIndex = options.ignoreIndex ?? -100;
    this.labelSmoothing = options.labelSmoothing ?? 0;
    this.weight = options.weight ? new Buffer(options.weight) : null;
  }

  override forward(input: Tensor, target: Tensor): Tensor {
    const { weight, reduction, ignoreIndex, labelSmoothing } = this;
    return crossEntropyLoss(input, target, weight, reduction, ignoreIndex, labelSmoothing);
  }
}
