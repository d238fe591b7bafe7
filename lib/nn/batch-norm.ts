import { ShapeError } from '../errors.js';
import { checkOptions } from '../tensor/dispatch.js';
import { batchNorm, type DType, noGrad, type Tensor, tidy, zeros } from '../tensor/index.js';
import { checkInteger, checkNumber } from './arguments.js';
import { constant } from './init.js';
import { Buffer, learned, type Parameter } from './parameter.js';
import { StatelessLayer, type StepOptions } from './step-module.js';

/** Options of the batch normalisations, with PyTorch's defaults. */
export interface BatchNormOptions extends StepOptions {
  /** Added to the variance. Default 1e-5. */
  readonly eps?: number | undefined;
  /** Weight of a batch in the running statistics; null for the plain mean over all batches. Default 0.1. */
  readonly momentum?: number | null | undefined;
  /** Whether scale and shift are learned. Default true. */
  readonly affine?: boolean | undefined;
  /** Whether evaluation uses running statistics; else always those of the batch. Default true. */
  readonly trackRunningStats?: boolean | undefined;
  /** Default float32. */
  readonly dtype?: DType | undefined;
}

const OPTIONS = ['eps', 'momentum', 'affine', 'trackRunningStats', 'dtype', 'stepMode'];

// Our field names and those of PyTorch's state dictionaries.
const NAMES: ReadonlyMap<string, string> = new Map([
  ['runningMean', 'running_mean'],
  ['runningVar', 'running_var'],
  ['numBatchesTracked', 'num_batches_tracked'],
]);

/**
 * `y = (x - mean) / sqrt(var + eps) * weight + bias` per channel. In step mode 's' every step has statistics of
 * its own and updates the running ones; in 'm' there is one set of statistics over time and batch, and one update.
 */
abstract class BatchNorm extends StatelessLayer {
  /** Channels, the second dimension of a step. */
  readonly numFeatures: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Weight of a batch in the running statistics; null for the plain mean over all batches. */
  readonly momentum: number | null;
  /** `[numFeatures]`, ones at first; null without `affine` */
  weight: Parameter | null;
  /** `[numFeatures]`, zeros at first; null without `affine` */
  bias: Parameter | null;
  /** `[numFeatures]`, null without `trackRunningStats` */
  runningMean: Buffer | null;
  /** `[numFeatures]`, of the unbiased variance; null without `trackRunningStats` */
  runningVar: Buffer | null;
  /** int64, null without `trackRunningStats` */
  numBatchesTracked: Buffer | null;

  constructor(numFeatures: number, options: BatchNormOptions = {}) {
    const layer = new.target.name;
    checkOptions(options, OPTIONS, layer);
    super(options.stepMode);
    const { affine = true, trackRunningStats = true, dtype = 'float32' } = options;
    this.numFeatures = checkInteger(numFeatures, 1, layer, 'numFeatures');
    this.eps = checkNumber(options.eps ?? 1e-5, 0, Number.MAX_VALUE, layer, 'eps');
    const momentum = options.momentum === undefined ? 0.1 : options.momentum;
    this.momentum = momentum === null ? null : checkNumber(momentum, 0, 1, layer, 'momentum');
    const shape = [numFeatures];
    this.weight = affine ? constant(learned(shape, dtype), 1) : null;
    this.bias = affine ? learned(shape, dtype) : null;
    this.runningMean = trackRunningStats ? tracked(shape, dtype) : null;
    this.runningVar = trackRunningStats ? constant(tracked(shape, dtype), 1) : null;
    this.numBatchesTracked = trackRunningStats ? tracked([], 'int64') : null;
  }

  protected override memberName(field: string): string {
    return NAMES.get(field) ?? field;
  }

  protected override step(x: Tensor): Tensor {
    this.#checkChannels(x);
    if (this.#fromBatch && x.numel <= this.numFeatures) {
      throw new ShapeError(
        `${this.constructor.name}: argument 'x' must have more than one value per channel in training, got shape [${x.shape}]`,
      );
    }
    return this.#normalise(x, this.runningVar, this.training ? this.#countBatch() : 0);
  }

  // Mean and biased variance of n equal batches are those of one. The running variance is the unbiased one, whose
  // factor counts the values: n / (n - 1) becomes times n / (times n - 1).
  protected override once(x: Tensor, times: number): Tensor {
    this.#checkChannels(x);
    const count = x.numel / this.numFeatures;
    if (this.#fromBatch && count === 1) {
      return this.step(x.expand([times, ...x.shape.slice(1)])).narrow(0, 0, 1);
    }
    const { runningVar } = this;
    if (!this.training || runningVar === null || count === 0) return this.step(x);
    const factor = this.#countBatch();
    // The graph holds the tensor that it was given, so the buffer itself stays free to be changed.
    const after = noGrad(() => runningVar.clone());
    const y = this.#normalise(x, after, factor);
    const ratio = (times * (count - 1)) / (times * count - 1);
    noGrad(() => runningVar.mul_((1 - ratio) * (1 - factor)).add_(after, { alpha: ratio }));
    after.dispose();
    return y;
  }

  get #fromBatch(): boolean {
    return this.training || this.runningMean === null;
  }

  #normalise(x: Tensor, runningVar: Tensor | null, factor: number): Tensor {
    const { weight, bias, runningMean, eps } = this;
    return batchNorm(x, weight, bias, runningMean, runningVar, this.#fromBatch, factor, eps);
  }

  #checkChannels(x: Tensor): void {
    if (x.shape[1] !== this.numFeatures) {
      throw new ShapeError(
        `${this.constructor.name}: argument 'x' must have ${this.numFeatures} channels, got shape [${x.shape}]`,
      );
    }
  }

  // Counts the batch and returns its weight in the running statistics.
  #countBatch(): number {
    const { numBatchesTracked: count, momentum } = this;
    if (count === null) return momentum ?? 0;
    noGrad(() => count.add_(1));
    return momentum ?? 1 / Number(count.item());
  }

  protected override describe(): string {
    const { numFeatures, eps, momentum, weight, runningMean } = this;
    return `${numFeatures}, eps=${eps}, momentum=${momentum}, affine=${weight !== null}, trackRunningStats=${runningMean !== null}`;
  }
}

/** Batch normalisation of `[N, C]` or `[N, C, L]`; in step mode 'm' of `[T, N, C]` or `[T, N, C, L]`. */
export class BatchNorm1d extends BatchNorm {
  protected override readonly ranks: readonly number[] = [2, 3];
}

/** Batch normalisation of `[N, C, H, W]`; in step mode 'm' of `[T, N, C, H, W]`. */
export class BatchNorm2d extends BatchNorm {
  protected override readonly ranks: readonly number[] = [4];
}

function tracked(shape: readonly number[], dtype: DType): Buffer {
  return tidy(() => new Buffer(zeros(shape, { dtype })));
}
