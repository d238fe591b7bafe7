import { finite, integer, list, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import type { CommonParameters, Optimizer } from './optimizer.js';

/** What a checkpoint keeps of a scheduler, under PyTorch's names; the rates themselves are the optimizer's. */
export interface SchedulerStateDict {
  readonly last_epoch: number;
  readonly base_lrs: readonly number[];
}

/** What schedulers need of an optimizer. */
export type Scheduled = Pick<Optimizer<CommonParameters>, 'paramGroups'>;

/** Base class of learning-rate schedulers: `step()` after each epoch changes the rates of the optimizer's groups. */
export abstract class Scheduler {
  readonly optimizer: Scheduled;
  /** Steps taken. */
  lastEpoch = 0;

  constructor(optimizer: Scheduled) {
    this.optimizer = optimizer;
    for (const group of optimizer.paramGroups) group.initialLr ??= group.lr;
  }

  /** The rate for epoch `lastEpoch` from that of the epoch before and the one at the start. */
  protected abstract next(lr: number, baseLr: number): number;

  step(): void {
    this.lastEpoch += 1;
    for (const group of this.optimizer.paramGroups) {
      group.initialLr ??= group.lr;
      group.lr = this.next(group.lr, group.initialLr);
    }
  }

  /** The current rate of each group. */
  get lastLr(): readonly number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr);
  }

  stateDict(): SchedulerStateDict {
    const { paramGroups } = this.optimizer;
    return { last_epoch: this.lastEpoch, base_lrs: paramGroups.map(({ lr, initialLr }) => initialLr ?? lr) };
  }

  /** To be used with the optimizer's `loadStateDict`, which brings the rates. */
  loadStateDict(dict: SchedulerStateDict): void {
    this.lastEpoch = dict.last_epoch;
    dict.base_lrs.forEach((lr, i) => {
      const group = this.optimizer.paramGroups[i];
      if (group !== undefined) group.initialLr = lr;
    });
  }
}

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

  readonly stepSize: number;
  readonly gamma: number;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: StepLROptions) {
    super(optimizer);
    const { stepSize, gamma } = resolveParameters<Required<StepLROptions>>(StepLR.parameters, options);
    this.stepSize = stepSize;
    this.gamma = gamma;
  }

  protected override next(lr: number): number {
    return this.lastEpoch % this.stepSize === 0 ? lr * this.gamma : lr;
  }
}

export interface MultiStepLROptions {
  /** Epochs after which the rate decays, >= 1; one that is given twice counts twice. */
  readonly milestones: readonly number[];
  /** Default 0.1. */
  readonly gamma?: number;
}

/** Multiplies the rate by `gamma` at each milestone. */
export class MultiStepLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    milestones: parameter('milestones', list(integer(1))),
    gamma: parameter('gamma', finite().default(0.1)),
  };

  readonly milestones: readonly number[];
  readonly gamma: number;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: MultiStepLROptions) {
    super(optimizer);
    const { milestones, gamma } = resolveParameters<Required<MultiStepLROptions>>(
      MultiStepLR.parameters,
      options,
    );
    this.milestones = milestones;
    this.gamma = gamma;
  }

  protected override next(lr: number): number {
    const times = this.milestones.filter((milestone) => milestone === this.lastEpoch).length;
    return lr * this.gamma ** times;
  }
}

export interface CosineAnnealingLROptions {
  /** Epochs of half a period, >= 1; the rate rises again after them. */
  readonly tMax: number;
  /** The lowest rate. Default 0. */
  readonly etaMin?: number;
}

/**
 * Cosine annealing (I. Loshchilov and F. Hutter 2017, without restarts):
 * `lr(t) = etaMin + (lr(0) - etaMin) * (1 + cos(pi * t / tMax)) / 2`, computed from the rate before, so that changes
 * made by others stay.
 */
export class CosineAnnealingLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    tMax: parameter('T_max', integer(1)),
    etaMin: parameter('eta_min', finite().default(0)),
  };

  readonly tMax: number;
  readonly etaMin: number;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: CosineAnnealingLROptions) {
    super(optimizer);
    const { tMax, etaMin } = resolveParameters<Required<CosineAnnealingLROptions>>(
      CosineAnnealingLR.parameters,
      options,
    );
    this.tMax = tMax;
    this.etaMin = etaMin;
  }

  protected override next(lr: number, baseLr: number): number {
    const { lastEpoch, tMax, etaMin } = this;
    // At the bottom the ratio below would divide by zero.
    if ((lastEpoch - 1 - tMax) % (2 * tMax) === 0) {
      return lr + ((baseLr - etaMin) * (1 - Math.cos(Math.PI / tMax))) / 2;
    }
    const height = (epoch: number): number => 1 + Math.cos((Math.PI * epoch) / tMax);
    return (height(lastEpoch) / height(lastEpoch - 1)) * (lr - etaMin) + etaMin;
  }
}
