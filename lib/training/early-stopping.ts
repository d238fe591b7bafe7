import {
  finite,
  integer,
  oneOf,
  type ParameterTable,
  parameter,
  resolveParameters,
  text,
} from '../parameters.js';

/** When `EarlyStopping` ends training. */
export interface EarlyStoppingOptions {
  /** A logged name: `val_loss`, `train_acc`, ... Default 'val_loss'. */
  readonly monitor?: string;
  /** Whether less or more is better. Default 'min'. */
  readonly mode?: 'max' | 'min';
  /** Epochs without a better value after which training ends, >= 1. Default 3. */
  readonly patience?: number;
  /** What a value must be better by, >= 0. Default 0. */
  readonly minDelta?: number;
}

/**
 * Ends training when a metric stops getting better. A value is better if it is less (more) than the best one by more
 * than `minDelta`; NaN never is.
 */
export class EarlyStopping {
  static readonly parameters: ParameterTable = {
    monitor: parameter('monitor', text().default('val_loss')),
    mode: parameter('mode', oneOf(['max', 'min']).default('min')),
    patience: parameter('patience', integer(1).default(3)),
    minDelta: parameter('min_delta', finite().min(0).default(0)),
  };

  /** As in the options, like the next ones. */
  readonly monitor: string;
  /** Whether less or more is better. */
  readonly mode: 'max' | 'min';
  /** Epochs without a better value after which training ends. */
  readonly patience: number;
  /** What a value must be better by. */
  readonly minDelta: number;
  #best: number;
  #waited = 0;

  /** Options in either spelling. @throws ConfigError */
  constructor(options: EarlyStoppingOptions = {}, path: readonly string[] = []) {
    const own = resolveParameters<Required<EarlyStoppingOptions>>(EarlyStopping.parameters, options, path);
    this.monitor = own.monitor;
    this.mode = own.mode;
    this.patience = own.patience;
    this.minDelta = own.minDelta;
    this.#best = own.mode === 'min' ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }

  /** Whether training is to end. */
  get stops(): boolean {
    return this.#waited >= this.patience;
  }

  /** The metrics of the next epoch. The same epochs in the same order lead to the same answer. */
  offer(metrics: Readonly<Record<string, number>>): void {
    const value = metrics[this.monitor] ?? Number.NaN;
    const isBetter =
      this.mode === 'min' ? value < this.#best - this.minDelta : value > this.#best + this.minDelta;
    if (isBetter) this.#best = value;
    this.#waited = isBetter ? 0 : this.#waited + 1;
  }
}
