import { finite, integer, type ParameterTable, parameter, resolveParameters } from '../../parameters.js';
import { type Scheduled, Scheduler } from '../scheduler.js';

/** Options of `CosineAnnealingLR`. */
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
    tMax: parameter('T_max', () => integer(1)),
    etaMin: parameter('eta_min', () => finite().default(0)),
  };

  readonly options: Required<CosineAnnealingLROptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: CosineAnnealingLROptions) {
    super(optimizer);
    this.options = resolveParameters(CosineAnnealingLR.parameters, options);
  }

  protected override next(lr: number, baseLr: number): number {
    const { lastEpoch } = this;
    const { tMax, etaMin } = this.options;
    if (lastEpoch === 0) return lr;
    // At the bottom the ratio below would divide by zero.
    if ((lastEpoch - 1 - tMax) % (2 * tMax) === 0) {
      return lr + ((baseLr - etaMin) * (1 - Math.cos(Math.PI / tMax))) / 2;
    }
    const height = (epoch: number): number => 1 + Math.cos((Math.PI * epoch) / tMax);
    return (height(lastEpoch) / height(lastEpoch - 1)) * (lr - etaMin) + etaMin;
  }
}

/** Options of `CosineAnnealingWarmRestarts`. */
export interface CosineAnnealingWarmRestartsOptions {
  /** Epochs until the first restart, >= 1. */
  readonly t0: number;
  /** Each period is this many times as long as the one before, an integer >= 1. Default 1. */
  readonly tMult?: number;
  /** The lowest rate. Default 0. */
  readonly etaMin?: number;
}

/**
 * Cosine annealing with warm restarts (I. Loshchilov and F. Hutter 2017): with the epochs u since the last restart and the
 * length P of the period, `lr(t) = etaMin + (lr(0) - etaMin) * (1 + cos(pi * u / P)) / 2`.
 */
export class CosineAnnealingWarmRestarts extends Scheduler {
  static readonly parameters: ParameterTable = {
    t0: parameter('T_0', () => integer(1)),
    tMult: parameter('T_mult', () => integer(1).default(1)),
    etaMin: parameter('eta_min', () => finite().default(0)),
  };

  readonly options: Required<CosineAnnealingWarmRestartsOptions>;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: CosineAnnealingWarmRestartsOptions) {
    super(optimizer);
    this.options = resolveParameters(CosineAnnealingWarmRestarts.parameters, options);
    this.apply();
  }

  protected override next(_lr: number, baseLr: number): number {
    const { t0, tMult, etaMin } = this.options;
    let [since, period] = [this.lastEpoch, t0];
    if (tMult === 1) since %= period;
    while (since >= period) {
      since -= period;
      period *= tMult;
    }
    return etaMin + ((baseLr - etaMin) * (1 + Math.cos((Math.PI * since) / period))) / 2;
  }
}
