import { ConfigError, type ConfigPath } from '../errors.js';
import { checkValue, finite, integer, list, type ParameterTable, plainTable, shown } from '../parameters.js';
import type { CommonParameters, Optimizer, ParameterGroup } from './optimizer.js';

/**
 * What a checkpoint keeps of a scheduler, under PyTorch's names and ready for JSON. The rates themselves, and a momentum
 * that is cycled, are in the optimizer's own dictionary.
 */
export interface SchedulerStateDict {
  /** Steps taken. */
  readonly last_epoch: number;
  /** The rate that each group started from. */
  readonly base_lrs: readonly number[];
  /** The best metric; a text where it is not finite, as before the first one. */
  readonly best?: number | 'Infinity' | '-Infinity';
  /** Epochs that still do not count after a reduction. */
  readonly cooldown_counter?: number;
  /** Epochs without progress. */
  readonly num_bad_epochs?: number;
  /** The parts of a scheduler that is made of others. */
  readonly _schedulers?: readonly SchedulerStateDict[];
}

/** What schedulers need of an optimizer. */
export type Scheduled = Pick<Optimizer<CommonParameters>, 'paramGroups'>;

/** When `fit` steps a scheduler: after each epoch, or after each update of the weights. */
export type SchedulerInterval = 'epoch' | 'step';

/**
 * Base class of learning-rate schedulers: `step()` changes the rates of the optimizer's groups. One of your own gives
 * `next`, and calls `apply` at the end of its constructor if its first rate is not the optimizer's.
 */
export abstract class Scheduler {
  /** Whose rates it changes. */
  readonly optimizer: Scheduled;
  /** Steps taken. */
  lastEpoch = 0;
  /** When `fit` steps it. Default 'epoch'. */
  interval: SchedulerInterval = 'epoch';
  #baseLrs: number[];

  constructor(optimizer: Scheduled) {
    this.optimizer = optimizer;
    for (const group of optimizer.paramGroups) group.initialLr ??= group.lr;
    this.#baseLrs = optimizer.paramGroups.map(({ lr, initialLr }) => initialLr ?? lr);
  }

  /**
   * The rate at `lastEpoch`, 0 included.
   * @param lr the rate before
   * @param baseLr the rate that the schedule started from
   * @param index of the group
   */
  protected abstract next(lr: number, baseLr: number, index: number): number;

  /** Gives a group what `lastEpoch` asks for. */
  protected update(group: ParameterGroup, index: number): void {
    group.lr = this.next(group.lr, this.#base(group, index), index);
  }

  /** Gives every group what `lastEpoch` asks for. */
  protected apply(): void {
    this.optimizer.paramGroups.forEach((group, i) => {
      this.update(group, i);
    });
  }

  /** Goes to the next rates. @param _metric what was measured, for schedulers that look at it */
  step(_metric?: number): void {
    this.lastEpoch += 1;
    this.apply();
  }

  /** What `fit` calls after an epoch, with what was measured in it (`train_loss`, `val_loss`, ...). */
  stepEpoch(_metrics: Readonly<Record<string, number>>): void {
    if (this.interval === 'epoch') this.step();
  }

  /** What `fit` calls after each update of the weights. */
  stepBatch(): void {
    if (this.interval === 'step') this.step();
  }

  /** Goes back before the first epoch, so that the next step is the first; the rates stay. */
  rewind(): void {
    this.lastEpoch = -1;
  }

  /** Begins anew, from the rates that the schedule started from. */
  restart(): void {
    this.rewind();
    this.optimizer.paramGroups.forEach((group, i) => {
      group.lr = this.#base(group, i);
    });
    this.step();
  }

  // A group that was added later starts from its own rate.
  #base(group: ParameterGroup, index: number): number {
    group.initialLr ??= group.lr;
    this.#baseLrs[index] ??= group.initialLr;
    return this.#baseLrs[index];
  }

  /** The current rate of each group. */
  get lastLr(): readonly number[] {
    return this.optimizer.paramGroups.map(({ lr }) => lr);
  }

  /** What `loadStateDict` goes on from. */
  stateDict(): SchedulerStateDict {
    return { last_epoch: this.lastEpoch, base_lrs: [...this.#baseLrs] };
  }

  /**
   * To be used with the optimizer's `loadStateDict`, which brings the rates. Further names, which PyTorch writes, are passed
   * over. With an error nothing has changed.
   * @throws ConfigError with the place of what is missing or wrong
   */
  loadStateDict(dict: SchedulerStateDict): void {
    this.readState(dict, [])();
  }

  /** Checks a state; the result takes it over. */
  readState(dict: unknown, path: ConfigPath): () => void {
    const given = plainTable(dict, path);
    const lastEpoch = checkValue(integer(), given['last_epoch'], [...path, 'last_epoch']);
    const baseLrs = checkValue(list(finite()), given['base_lrs'], [...path, 'base_lrs']);
    const groups = this.optimizer.paramGroups.length;
    if (baseLrs.length !== groups) {
      throw new ConfigError(
        [...path, 'base_lrs'],
        `one rate for each of ${groups} groups`,
        String(baseLrs.length),
      );
    }
    return () => {
      this.lastEpoch = lastEpoch;
      this.#baseLrs = [...baseLrs];
    };
  }
}

/** Where a parameter stands: under its established name in a configuration, else as in code. */
export function placeOf(table: ParameterTable, name: string, path: ConfigPath): ConfigPath {
  return [...path, path.length > 0 ? (table[name]?.toml ?? name) : name];
}

/** A number for each group, where one for all may be given. */
export function perGroup(value: number | readonly number[], groups: readonly unknown[]): readonly number[] {
  return typeof value === 'number' ? groups.map(() => value) : value;
}

/** @throws ConfigError for a list that has not one number for each group */
export function checkPerGroup(value: unknown, groups: readonly unknown[], path: ConfigPath): void {
  if (!Array.isArray(value) || value.length === groups.length) return;
  const all = groups.length === 1 ? 'the one parameter group' : `each of ${groups.length} parameter groups`;
  throw new ConfigError(path, `a number, or a list with one for ${all}`, `a list of ${value.length}`);
}

/** @throws ConfigError unless the hyperparameters have a momentum or the betas of Adam */
export function checkMomentum(groups: readonly object[], path: ConfigPath): void {
  if (groups.every((group) => 'momentum' in group || 'betas' in group)) return;
  throw new ConfigError(path, 'false with an optimizer that has neither momentum nor betas', shown(true));
}

/** Sets the momentum of a group, which is the first beta where it has those. */
export function setMomentum(group: object, value: number): void {
  const own = group as { momentum?: number; betas?: readonly number[] };
  if (own.betas) own.betas = [value, ...own.betas.slice(1)];
  else own.momentum = value;
}
