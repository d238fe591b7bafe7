import { ConfigError, type ConfigPath } from '../errors.js';
import type { Module } from '../nn/index.js';
import { shown } from '../parameters.js';
import { keep, noGrad, type Tensor, tidy } from '../tensor/index.js';
import type { Framework } from './framework.js';

/** What a checkpoint keeps besides the weights; no epoch has been measured yet without `epoch`. */
export interface BestEpochState {
  readonly value: number;
  readonly epoch: number | null;
}

/**
 * The metric `name` must be one that is logged for each epoch.
 * @throws ConfigError that lists them
 */
export function requireLogged(
  framework: Framework,
  name: string,
  hasValidation: boolean,
  path: ConfigPath,
): void {
  // `corr` is a value for each output, not one that could decide.
  const names = [...framework.metrics.filter((own) => own !== 'corr'), ...(framework.loss ? ['loss'] : [])];
  const prefixes = hasValidation ? ['train_', 'val_'] : ['train_'];
  const logged = prefixes.flatMap((prefix) => names.map((own) => prefix + own));
  if (logged.includes(name)) return;
  const hint = hasValidation || !name.startsWith('val_') ? '' : ', since there is no validation set';
  throw new ConfigError(path, `one of ${logged.join(', ')}${hint}`, shown(name));
}

/** Remembers the weights of the best epoch, the first one among equals. */
export class BestEpoch implements Disposable {
  readonly #model: Module;
  readonly #name: string;
  readonly #sign: 1 | -1;
  #value = Number.NEGATIVE_INFINITY;
  #epoch: number | undefined;
  #weights = new Map<string, Tensor>();

  private constructor(model: Module, name: string, mode: 'max' | 'min') {
    this.#model = model;
    this.#name = name;
    this.#sign = mode === 'max' ? 1 : -1;
  }

  /**
   * Null unless the framework asks for it.
   * @throws ConfigError if the metric that decides is not measured
   */
  static of(framework: Framework, model: Module, hasValidation: boolean): BestEpoch | null {
    if (!framework.useBestEpoch) return null;
    const { name, mode } = framework.checkpointMetric;
    requireLogged(framework, name, hasValidation, ['framework', 'params', 'checkpoint_metric', 'name']);
    return new BestEpoch(model, name, mode);
  }

  /** The network as it is now becomes the best if its metric is better than before. */
  offer(metrics: Readonly<Record<string, number>> & { readonly epoch: number }): void {
    const value = this.#sign * (metrics[this.#name] ?? Number.NaN);
    if (!(value > this.#value)) return;
    tidy(() => this.#take(value, metrics.epoch, Object.entries(this.#model.stateDict())));
  }

  #take(value: number, epoch: number, state: Iterable<readonly [string, Tensor]>): void {
    this.dispose();
    this.#value = value;
    this.#epoch = epoch;
    this.#weights = new Map(
      [...state].map(([name, own]) => [name, keep(noGrad(() => own.clone()))] as const),
    );
  }

  /** The best weights so far, by the network's names. */
  get weights(): ReadonlyMap<string, Tensor> {
    return this.#weights;
  }

  stateDict(): BestEpochState {
    return { value: this.#value, epoch: this.#epoch ?? null };
  }

  /** Takes over what another one had; the weights are copied. */
  loadStateDict({ value, epoch }: BestEpochState, weights: ReadonlyMap<string, Tensor>): void {
    if (epoch !== null) this.#take(value, epoch, weights);
  }

  /** Gives the network its best weights; returns their epoch, or undefined if no epoch was measured. */
  restore(): number | undefined {
    if (this.#epoch !== undefined) this.#model.loadStateDict(this.#weights);
    return this.#epoch;
  }

  dispose(): void {
    for (const own of this.#weights.values()) own.dispose();
    this.#weights = new Map();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
