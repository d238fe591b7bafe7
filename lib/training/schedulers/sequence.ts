/** Schedulers made of others, and the registry in which they find those. */
import { ConfigError, type ConfigPath } from '../../errors.js';
import {
  integer,
  list,
  type Parameter,
  type ParameterTable,
  parameter,
  resolved,
  resolveParameters,
  shown,
} from '../../parameters.js';
import { Registry } from '../../registry.js';
import { type KindConfig, resolveKind } from '../kind.js';
import { placeOf, type Scheduled, Scheduler, type SchedulerStateDict } from '../scheduler.js';
import { CosineAnnealingLR, CosineAnnealingWarmRestarts } from './cosine.js';
import { CyclicLR, OneCycleLR } from './cycle.js';
import {
  ConstantLR,
  ExponentialLR,
  LinearLR,
  MultiStepLR,
  PolynomialLR,
  SinDescent,
  StepLR,
} from './decay.js';
import { ReduceLROnPlateau } from './plateau.js';

/** A class of learning-rate schedulers with the table of its parameters. */
export interface SchedulerClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (optimizer: Scheduled, options?: any): Scheduler;
  readonly parameters: ParameterTable;
  /** Whether a step takes a metric. */
  readonly needsMetric?: boolean;
  /** What the table cannot tell. @throws ConfigError */
  check?(values: never, path: ConfigPath): void;
  /** What needs the hyperparameters of the optimizer's groups. @throws ConfigError */
  fits?(values: never, path: ConfigPath, groups: readonly object[]): void;
}

/** A scheduler on the same optimizer, or what one is made from. */
export type SchedulerPart = Scheduler | KindConfig;

interface Parts {
  readonly schedulers: readonly SchedulerPart[];
}

function parts(): Parameter {
  return parameter('schedulers', resolved(checkedParts));
}

function checkedParts(value: unknown): readonly SchedulerPart[] {
  if (!Array.isArray(value) || value.length === 0) {
    throw new ConfigError([], 'a list of at least one scheduler', shown(value));
  }
  return value.map((part: unknown, i) => {
    if (part instanceof Scheduler) {
      requireNoMetric(part.constructor as unknown as SchedulerClass, part.constructor.name, [i]);
      return part;
    }
    const { found, kind, params } = resolveKind(schedulers, part, [i]);
    requireNoMetric(found, kind, [i, 'kind']);
    return { kind, params };
  });
}

function requireNoMetric({ needsMetric }: SchedulerClass, kind: string, path: ConfigPath): void {
  if (needsMetric) throw new ConfigError(path, 'a scheduler that steps without a metric', shown(kind));
}

function partsFit({ schedulers: given }: Parts, path: ConfigPath, groups: readonly object[]): void {
  given.forEach((part, i) => {
    if (part instanceof Scheduler) return;
    const at = [...path, 'schedulers', i, 'params'];
    schedulers.find(part.kind, at).fits?.((part.params ?? {}) as never, at, groups);
  });
}

/** What SequentialLR and ChainedScheduler share: the parts, and their state. */
abstract class Composed extends Scheduler {
  /** The parts in their order. */
  readonly schedulers: readonly Scheduler[];

  constructor(optimizer: Scheduled, given: readonly SchedulerPart[]) {
    // Before the groups are looked at: the first part may set the rate that all start from.
    const made = given.map((part, i) => {
      if (!(part instanceof Scheduler)) return new (schedulers.find(part.kind, []))(optimizer, part.params);
      if (part.optimizer === optimizer) return part;
      throw new ConfigError(['schedulers', i], 'a scheduler of the same optimizer', "another optimizer's");
    });
    super(optimizer);
    this.schedulers = made;
  }

  protected override next(lr: number): number {
    return lr;
  }

  // As in PyTorch only the parts go back: within another SequentialLR the first part of this one is an epoch shorter.
  override rewind(): void {
    for (const part of this.schedulers) part.rewind();
  }

  override stateDict(): SchedulerStateDict {
    return { ...super.stateDict(), _schedulers: this.schedulers.map((part) => part.stateDict()) };
  }

  override readState(dict: unknown, path: ConfigPath): () => void {
    const apply = super.readState(dict, path);
    const states = (dict as { readonly _schedulers?: unknown })._schedulers;
    const count = this.schedulers.length;
    const at = [...path, '_schedulers'];
    if (!Array.isArray(states) || states.length !== count) {
      const got = Array.isArray(states) ? `${states.length}` : shown(states);
      throw new ConfigError(at, `the states of ${count} schedulers`, got);
    }
    const all = this.schedulers.map((part, i) => part.readState(states[i], [...at, i]));
    return () => {
      apply();
      for (const one of all) one();
    };
  }
}

/** Options of `SequentialLR`. */
export interface SequentialLROptions extends Parts {
  /** Schedulers that are made already, or `{ kind, params }` of each. ReduceLROnPlateau cannot be one. */
  readonly schedulers: readonly SchedulerPart[];
  /** The epochs at which the second scheduler and those after it take over, ascending. */
  readonly milestones: readonly number[];
}

/** Schedulers one after the other; each starts from the optimizer's rate. */
export class SequentialLR extends Composed {
  static readonly parameters: ParameterTable = {
    schedulers: parts(),
    milestones: parameter('milestones', list(integer(0))),
  };

  /** What the table cannot tell. @throws ConfigError */
  static check({ schedulers: given, milestones }: SequentialLROptions, path: ConfigPath): void {
    const at = placeOf(SequentialLR.parameters, 'milestones', path);
    const expected = given.length - 1;
    if (milestones.length !== expected) {
      const what = expected === 1 ? 'one epoch' : `${expected} epochs`;
      throw new ConfigError(at, `${what}, one less than schedulers`, `${milestones.length}`);
    }
    const i = milestones.findIndex((epoch, j) => j > 0 && epoch < milestones[j - 1]!);
    if (i > 0)
      throw new ConfigError(
        [...at, i],
        `an integer >= ${milestones[i - 1]}, the one before`,
        `${milestones[i]}`,
      );
  }

  /** What needs the optimizer's groups. @throws ConfigError */
  static fits(values: Parts, path: ConfigPath, groups: readonly object[]): void {
    partsFit(values, path, groups);
  }

  /** The epochs at which the next part takes over. */
  readonly milestones: readonly number[];

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: SequentialLROptions) {
    const given = resolveParameters<SequentialLROptions>(SequentialLR.parameters, options);
    SequentialLR.check(given, []);
    super(optimizer, given.schedulers);
    this.milestones = given.milestones;
    for (const group of optimizer.paramGroups) group.lr = group.initialLr ?? group.lr;
    this.rewind();
    this.schedulers[this.#index()]!.step();
  }

  // The number of milestones that have come.
  #index(): number {
    return this.milestones.filter((epoch) => epoch <= this.lastEpoch).length;
  }

  override step(): void {
    this.lastEpoch += 1;
    const index = this.#index();
    const current = this.schedulers[index]!;
    if (index > 0 && this.milestones[index - 1] === this.lastEpoch) current.restart();
    else current.step();
  }
}

/** Options of `ChainedScheduler`. */
export interface ChainedSchedulerOptions extends Parts {
  /** Schedulers that are made already, or `{ kind, params }` of each. ReduceLROnPlateau cannot be one. */
  readonly schedulers: readonly SchedulerPart[];
}

/** Schedulers that all step at once, in this order; each changes the rate that the one before it has left. */
export class ChainedScheduler extends Composed {
  static readonly parameters: ParameterTable = { schedulers: parts() };

  /** What needs the optimizer's groups. @throws ConfigError */
  static fits(values: Parts, path: ConfigPath, groups: readonly object[]): void {
    partsFit(values, path, groups);
  }

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: ChainedSchedulerOptions) {
    super(
      optimizer,
      resolveParameters<ChainedSchedulerOptions>(ChainedScheduler.parameters, options).schedulers,
    );
  }

  override step(): void {
    this.lastEpoch += 1;
    for (const part of this.schedulers) part.step();
  }
}

/** Learning-rate schedulers by `kind`. */
export const schedulers: Registry<SchedulerClass> = new Registry<SchedulerClass>('scheduler kind', {
  StepLR,
  MultiStepLR,
  ConstantLR,
  LinearLR,
  ExponentialLR,
  PolynomialLR,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  CyclicLR,
  OneCycleLR,
  ReduceLROnPlateau,
  SequentialLR,
  ChainedScheduler,
  SinDescent,
});
