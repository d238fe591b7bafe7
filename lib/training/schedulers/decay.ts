/** Schedules whose rate only falls or rises with the epochs. */

import { ConfigError } from '../../errors.js';
import {
  finite,
  integer,
  list,
  type ParameterTable,
  parameter,
  resolved,
  resolveParameters,
  shown,
} from '../../parameters.js';
import { argumentError } from '../../tensor/operator.js';
import { type Scheduled, Scheduler } from '../scheduler.js';

/** Options of `StepLR`. */
export interface StepLROptions {
  /** Epochs between two decays, >= 1. */
  readonly stepSize: number;
  /** Default 0.1. */
  readonly gamma?: number;
}

/** Multiplies the rate by `gamma` every `stepSize` epochs. */
export class StepLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    stepSize: parameter('step_size', integer(1)),
    gamma: parameter('gamma', finite().default(0.1)),
  };

  readonly options: Required<StepLROptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: StepLROptions) {
    super(optimizer);
    this.options = resolveParameters(StepLR.parameters, options);
  }

  protected override next(lr: number): number {
    const { stepSize, gamma } = this.options;
    return this.lastEpoch > 0 && this.lastEpoch % stepSize === 0 ? lr * gamma : lr;
  }
}

/** Options of `MultiStepLR`. */
export interface MultiStepLROptions {
  /** Epochs after which the rate decays, >= 0; one that is given twice counts twice. */
  readonly milestones: readonly number[];
  /** Default 0.1. */
  readonly gamma?: number;
}

/** Multiplies the rate by `gamma` at each milestone. */
export class MultiStepLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    milestones: parameter('milestones', list(integer(0))),
    gamma: parameter('gamma', finite().default(0.1)),
  };

  readonly options: Required<MultiStepLROptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: MultiStepLROptions) {
    super(optimizer);
    this.options = resolveParameters(MultiStepLR.parameters, options);
    this.apply();
  }

  protected override next(lr: number): number {
    const { milestones, gamma } = this.options;
    return lr * gamma ** milestones.filter((milestone) => milestone === this.lastEpoch).length;
  }
}

/** Options of `ExponentialLR`. */
export interface ExponentialLROptions {
  /** What the rate is multiplied by in each epoch. */
  readonly gamma: number;
}

/** Multiplies the rate by `gamma` after each epoch. */
export class ExponentialLR extends Scheduler {
  static readonly parameters: ParameterTable = { gamma: parameter('gamma', finite()) };

  readonly options: Required<ExponentialLROptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: ExponentialLROptions) {
    super(optimizer);
    this.options = resolveParameters(ExponentialLR.parameters, options);
  }

  protected override next(lr: number): number {
    return this.lastEpoch === 0 ? lr : lr * this.options.gamma;
  }
}

/** Options of `ConstantLR`. */
export interface ConstantLROptions {
  /** In [0, 1]. Default 1/3. */
  readonly factor?: number;
  /** Epochs until the factor is taken back, >= 0. Default 5. */
  readonly totalIters?: number;
}

/** Multiplies the rate by `factor` for `totalIters` epochs. */
export class ConstantLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    factor: parameter(
      'factor',
      finite()
        .min(0)
        .max(1)
        .default(1 / 3),
    ),
    totalIters: parameter('total_iters', integer(0).default(5)),
  };

  readonly options: Required<ConstantLROptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: ConstantLROptions = {}) {
    super(optimizer);
    this.options = resolveParameters(ConstantLR.parameters, options);
    this.apply();
  }

  protected override next(lr: number, baseLr: number): number {
    const { factor, totalIters } = this.options;
    if (this.lastEpoch === 0) return lr * factor;
    if (this.lastEpoch !== totalIters) return lr;
    return factor === 0 ? baseLr : lr * (1 / factor);
  }

  // PyTorch begins a part of a sequence by the closed form, in which no epochs are none, not all.
  override restart(): void {
    super.restart();
    if (this.options.totalIters > 0) return;
    for (const group of this.optimizer.paramGroups) group.lr = group.initialLr ?? group.lr;
  }
}

/** Options of `LinearLR`. */
export interface LinearLROptions {
  /** In (0, 1]. Default 1/3. */
  readonly startFactor?: number;
  /** In [0, 1]. Default 1. */
  readonly endFactor?: number;
  /** Epochs from one factor to the other, >= 0. Default 5. */
  readonly totalIters?: number;
}

/** Multiplies the rate by a factor that goes from `startFactor` to `endFactor` in `totalIters` equal steps. */
export class LinearLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    startFactor: parameter(
      'start_factor',
      finite()
        .gt(0)
        .max(1)
        .default(1 / 3),
    ),
    endFactor: parameter('end_factor', finite().min(0).max(1).default(1)),
    totalIters: parameter('total_iters', integer(0).default(5)),
  };

  readonly options: Required<LinearLROptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: LinearLROptions = {}) {
    super(optimizer);
    this.options = resolveParameters(LinearLR.parameters, options);
    this.apply();
  }

  protected override next(lr: number): number {
    const { startFactor, endFactor, totalIters } = this.options;
    if (this.lastEpoch === 0) return lr * startFactor;
    if (this.lastEpoch > totalIters) return lr;
    const slope = endFactor - startFactor;
    return lr * (1 + slope / (totalIters * startFactor + (this.lastEpoch - 1) * slope));
  }
}

/** Options of `PolynomialLR`. */
export interface PolynomialLROptions {
  /** Epochs until the rate is 0, >= 0. Default 5. */
  readonly totalIters?: number;
  /** At least 0. Default 1. */
  readonly power?: number;
}

/** `lr(t) = lr(0) * (1 - t / totalIters)^power`, and 0 from then on. */
export class PolynomialLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    totalIters: parameter('total_iters', integer(0).default(5)),
    power: parameter('power', finite().min(0).default(1)),
  };

  readonly options: Required<PolynomialLROptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: PolynomialLROptions = {}) {
    super(optimizer);
    this.options = resolveParameters(PolynomialLR.parameters, options);
  }

  protected override next(lr: number): number {
    const { totalIters, power } = this.options;
    if (this.lastEpoch === 0 || this.lastEpoch > totalIters) return lr;
    const left = (epoch: number): number => 1 - epoch / totalIters;
    return lr * (left(this.lastEpoch) / left(this.lastEpoch - 1)) ** power;
  }
}

/** Options of `SinDescent`. */
export interface SinDescentOptions {
  /** The length E of the descent, >= 1. */
  readonly epoch: number;
  /** Height of the first wave. Default 0. */
  readonly pme?: number;
  /** Waves in the whole descent. Default 1. */
  readonly w?: number;
  /** The rate at the start. Default 0.1. */
  readonly lr0?: number;
  /** The rate at the end. Default 0.1. */
  readonly lrf?: number;
}

/**
 * A line with a dying sine wave on it, qualia's own: `lr(t) = (1 - t/E) * pme * sin(2 pi w t/E) + lr0 + (lrf - lr0) * t/E`.
 * The optimizer's rate does not count. A wave that is higher than the line makes the rate negative, which is gradient
 * ascent.
 */
export class SinDescent extends Scheduler {
  static readonly parameters: ParameterTable = {
    epoch: parameter('epoch', integer(1)),
    pme: parameter('pme', finite().default(0)),
    w: parameter('w', finite().default(1)),
    lr0: parameter('lr0', finite().default(0.1)),
    lrf: parameter('lrf', finite().default(0.1)),
  };

  readonly options: Required<SinDescentOptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: SinDescentOptions) {
    super(optimizer);
    this.options = resolveParameters(SinDescent.parameters, options);
    this.apply();
  }

  protected override next(): number {
    const { epoch, pme, w, lr0, lrf } = this.options;
    const t = this.lastEpoch / epoch;
    return (1 - t) * pme * Math.sin(2 * Math.PI * w * t) + lr0 + (lrf - lr0) * t;
  }
}

/** The factor of the rate at an epoch. */
export type LRLambda = (epoch: number) => number;

/** Options of `LambdaLR`. */
export interface LambdaLROptions {
  /** One function, or one for each parameter group. */
  readonly lrLambda: LRLambda | readonly LRLambda[];
}

/** `lr(t) = lr(0) * lrLambda(t)`; in code only, a configuration cannot have functions. */
export class LambdaLR extends Scheduler {
  static readonly parameters: ParameterTable = { lrLambda: parameter('lr_lambda', resolved(lambdas)) };

  readonly options: Required<LambdaLROptions>;

  /** Options in either spelling. @throws ConfigError; TypeError for a function that gives no finite number */
  constructor(optimizer: Scheduled, options: LambdaLROptions) {
    super(optimizer);
    this.options = resolveParameters(LambdaLR.parameters, options);
    const { lrLambda } = this.options;
    const groups = optimizer.paramGroups.length;
    if (typeof lrLambda !== 'function' && lrLambda.length !== groups) {
      throw new ConfigError(
        ['lrLambda'],
        `one function for each of ${groups} groups`,
        String(lrLambda.length),
      );
    }
    this.apply();
  }

  protected override next(_lr: number, baseLr: number, index: number): number {
    const { lrLambda } = this.options;
    const factor: unknown = (typeof lrLambda === 'function' ? lrLambda : lrLambda[index])?.(this.lastEpoch);
    if (typeof factor === 'number' && Number.isFinite(factor)) return baseLr * factor;
    throw argumentError(
      'LambdaLR',
      'lrLambda',
      `a function that gives a finite number for epoch ${this.lastEpoch}`,
      factor,
    );
  }
}

function lambdas(value: unknown): LambdaLROptions['lrLambda'] {
  const all = Array.isArray(value) ? value : [value];
  if (all.length > 0 && all.every((one) => typeof one === 'function'))
    return value as LRLambda | readonly LRLambda[];
  throw new ConfigError([], 'a function, or a list of them', shown(value));
}
