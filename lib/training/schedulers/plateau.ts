import { ConfigError, type ConfigPath } from '../../errors.js';
import {
  checkValue,
  finite,
  integer,
  list,
  oneOf,
  type ParameterTable,
  parameter,
  resolveParameters,
  shown,
  text,
} from '../../parameters.js';
import { argumentError } from '../../tensor/operator.js';
import {
  checkPerGroup,
  perGroup,
  placeOf,
  type Scheduled,
  Scheduler,
  type SchedulerStateDict,
} from '../scheduler.js';

/** Options of `ReduceLROnPlateau`. */
export interface ReduceLROnPlateauOptions {
  /** Whether the metric should fall or rise. Default 'min'. */
  readonly mode?: 'min' | 'max';
  /** In [0, 1). Default 0.1. */
  readonly factor?: number;
  /** Epochs without progress that are let pass, >= 0. Default 10. */
  readonly patience?: number;
  /** The least progress that counts. Default 1e-4. */
  readonly threshold?: number;
  /** Whether the threshold is a share of the best metric or a difference from it. Default 'rel'. */
  readonly thresholdMode?: 'rel' | 'abs';
  /** Epochs after a reduction that do not count, >= 0. Default 0. */
  readonly cooldown?: number;
  /** Lower bound of the rates. Default 0. */
  readonly minLr?: number | readonly number[];
  /** A smaller change of the rate is not made. Default 1e-8. */
  readonly eps?: number;
  /** Which metric `fit` gives it. Default (null): 'val_loss', or 'train_loss' without a validation set. */
  readonly monitor?: string | null;
}

/** Multiplies the rates by `factor` when a metric has made no progress for more than `patience` epochs. */
export class ReduceLROnPlateau extends Scheduler {
  static readonly parameters: ParameterTable = {
    mode: parameter('mode', () => oneOf(['min', 'max']).default('min')),
    factor: parameter('factor', () => finite().min(0).lt(1).default(0.1)),
    patience: parameter('patience', () => integer(0).default(10)),
    threshold: parameter('threshold', () => finite().default(1e-4)),
    thresholdMode: parameter('threshold_mode', () => oneOf(['rel', 'abs']).default('rel')),
    cooldown: parameter('cooldown', () => integer(0).default(0)),
    minLr: parameter('min_lr', () => finite().or(list(finite())).default(0)),
    eps: parameter('eps', () => finite().min(0).default(1e-8)),
    monitor: parameter('monitor', () => text().nullable().default(null)),
  };

  /** Others cannot step it, as they have no metric. */
  static readonly needsMetric = true;

  /** What needs the optimizer's groups. @throws ConfigError */
  static fits(
    { minLr }: Required<ReduceLROnPlateauOptions>,
    path: ConfigPath,
    groups: readonly object[],
  ): void {
    checkPerGroup(minLr, groups, placeOf(ReduceLROnPlateau.parameters, 'minLr', path));
  }

  readonly options: Required<ReduceLROnPlateauOptions>;
  #best: number;
  #cooldown = 0;
  #badEpochs = 0;

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: ReduceLROnPlateauOptions = {}) {
    super(optimizer);
    this.options = resolveParameters(ReduceLROnPlateau.parameters, options);
    ReduceLROnPlateau.fits(this.options, [], optimizer.paramGroups);
    this.#best = this.options.mode === 'min' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  /** The best metric so far. */
  get best(): number {
    return this.#best;
  }

  /** @throws TypeError without a metric */
  override step(metric?: number): void {
    if (typeof metric !== 'number')
      throw argumentError('ReduceLROnPlateau.step', 'metric', 'a number', metric);
    this.lastEpoch += 1;
    if (this.#isBetter(metric)) {
      this.#best = metric;
      this.#badEpochs = 0;
    } else this.#badEpochs += 1;
    if (this.#cooldown > 0) {
      this.#cooldown -= 1;
      this.#badEpochs = 0;
    }
    if (this.#badEpochs <= this.options.patience) return;
    this.apply();
    this.#cooldown = this.options.cooldown;
    this.#badEpochs = 0;
  }

  /** @throws ConfigError if the metric was not measured */
  override stepEpoch(metrics: Readonly<Record<string, number>>): void {
    const name = this.options.monitor ?? ('val_loss' in metrics ? 'val_loss' : 'train_loss');
    const value = metrics[name];
    if (value === undefined) {
      const names = Object.keys(metrics).filter((key) => key !== 'epoch' && key !== 'lr');
      throw new ConfigError(
        ['monitor'],
        `a metric that is measured: one of ${names.join(', ')}`,
        shown(name),
      );
    }
    this.step(value);
  }

  #isBetter(metric: number): boolean {
    const { mode, threshold, thresholdMode } = this.options;
    const best = this.#best;
    const isRelative = thresholdMode === 'rel';
    if (mode === 'min') return metric < (isRelative ? best * (1 - threshold) : best - threshold);
    return metric > (isRelative ? best * (threshold + 1) : best + threshold);
  }

  protected override next(lr: number, _baseLr: number, index: number): number {
    const { factor, minLr, eps } = this.options;
    const reduced = Math.max(lr * factor, perGroup(minLr, this.optimizer.paramGroups)[index] ?? 0);
    return lr - reduced > eps ? reduced : lr;
  }

  override stateDict(): SchedulerStateDict {
    const best = this.#best;
    return {
      ...super.stateDict(),
      best: Number.isFinite(best) ? best : best > 0 ? 'Infinity' : '-Infinity',
      cooldown_counter: this.#cooldown,
      num_bad_epochs: this.#badEpochs,
    };
  }

  override readState(dict: unknown, path: ConfigPath): () => void {
    const apply = super.readState(dict, path);
    const given = dict as Readonly<Record<string, unknown>>;
    const best = given['best'];
    // JSON has no infinity.
    const infinite = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].find(
      (x) => x === best || String(x) === best,
    );
    const value = infinite ?? checkValue(finite(), best, [...path, 'best']);
    const cooldown = checkValue(integer(0), given['cooldown_counter'], [...path, 'cooldown_counter']);
    const badEpochs = checkValue(integer(0), given['num_bad_epochs'], [...path, 'num_bad_epochs']);
    return () => {
      apply();
      this.#best = value;
      this.#cooldown = cooldown;
      this.#badEpochs = badEpochs;
    };
  }
}
