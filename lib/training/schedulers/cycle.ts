/** Schedules that go up and down, with a momentum that goes the other way. */
import { ConfigError, type ConfigPath } from '../../errors.js';
import {
  finite,
  flag,
  integer,
  list,
  oneOf,
  type Parameter,
  type ParameterTable,
  parameter,
  positive,
  resolved,
  resolveParameters,
  shown,
} from '../../parameters.js';
import type { ParameterGroup } from '../optimizer.js';
import {
  checkMomentum,
  checkPerGroup,
  perGroup,
  placeOf,
  type Scheduled,
  Scheduler,
  setMomentum,
} from '../scheduler.js';

/** One number for all parameter groups, or one for each. */
export type PerGroup = number | readonly number[];

function eachGroup(toml: string): Parameter {
  return parameter(toml, finite().or(list(finite())));
}

function momenta(base: number, max: number): ParameterTable {
  const check = (): ReturnType<typeof finite> => finite().min(0);
  return {
    cycleMomentum: parameter('cycle_momentum', flag().default(true)),
    baseMomentum: parameter('base_momentum', check().or(list(check())).default(base)),
    maxMomentum: parameter('max_momentum', check().or(list(check())).default(max)),
  };
}

interface Cycled {
  readonly cycleMomentum: boolean;
  readonly baseMomentum: PerGroup;
  readonly maxMomentum: PerGroup;
}

function checkCycle(
  table: ParameterTable,
  names: readonly string[],
  values: Cycled,
  path: ConfigPath,
  groups: readonly object[],
): void {
  const given = values as unknown as Record<string, unknown>;
  if (values.cycleMomentum) checkMomentum(groups, placeOf(table, 'cycleMomentum', path));
  const all = values.cycleMomentum ? [...names, 'baseMomentum', 'maxMomentum'] : names;
  for (const name of all) checkPerGroup(given[name], groups, placeOf(table, name, path));
  // The first beta must stay below 1, else Adam divides by zero.
  const largest = Math.max(...perGroup(values.maxMomentum, groups));
  if (values.cycleMomentum && largest >= 1 && groups.some((group) => 'betas' in group)) {
    throw new ConfigError(
      placeOf(table, 'maxMomentum', path),
      'a number < 1 for an optimizer with betas',
      shown(largest),
    );
  }
}

/** Options of `CyclicLR`. */
export interface CyclicLROptions {
  /** The lowest rate. */
  readonly baseLr: PerGroup;
  /** The highest rate of the first cycle. */
  readonly maxLr: PerGroup;
  /** Steps of the rising half, > 0. Default 2000. */
  readonly stepSizeUp?: number;
  /** Steps of the falling half, >= 0. Default (null): `stepSizeUp`. */
  readonly stepSizeDown?: number | null;
  /**
   * Whether the height of a cycle stays, halves with each cycle, or is multiplied by `gamma` in each step.
   * Default 'triangular'.
   */
  readonly mode?: 'triangular' | 'triangular2' | 'exp_range';
  /** Default 1. */
  readonly gamma?: number;
  /** Factor of the height, instead of `mode`; in code only. */
  readonly scaleFn?: ((x: number) => number) | null;
  /** What `scaleFn` is called with: the cycle, from 1, or the step, from 0. Default 'cycle'. */
  readonly scaleMode?: 'cycle' | 'iterations';
  /** Whether the momentum (the first beta of Adam) falls while the rate rises. Default true. */
  readonly cycleMomentum?: boolean;
  /** Default 0.8. */
  readonly baseMomentum?: PerGroup;
  /** Default 0.9. */
  readonly maxMomentum?: PerGroup;
}

const modes = ['triangular', 'triangular2', 'exp_range'] as const;

/** Cyclical rates (L. Smith 2017): a triangle between `baseLr` and `maxLr`. The optimizer's rate does not count. */
export class CyclicLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    baseLr: eachGroup('base_lr'),
    maxLr: eachGroup('max_lr'),
    stepSizeUp: parameter('step_size_up', positive().default(2000)),
    stepSizeDown: parameter('step_size_down', finite().min(0).nullable().default(null)),
    mode: parameter('mode', oneOf(modes).default('triangular')),
    gamma: parameter('gamma', finite().default(1)),
    scaleFn: parameter('scale_fn', resolved(scaleFunction)),
    scaleMode: parameter('scale_mode', oneOf(['cycle', 'iterations']).default('cycle')),
    ...momenta(0.8, 0.9),
  };

  /** What needs the optimizer's groups. @throws ConfigError */
  static fits(values: Cycled, path: ConfigPath, groups: readonly object[]): void {
    checkCycle(CyclicLR.parameters, ['baseLr', 'maxLr'], values, path, groups);
  }

  readonly options: Required<CyclicLROptions>;
  readonly #base: readonly number[];
  readonly #max: readonly number[];

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: CyclicLROptions) {
    const given = resolveParameters<Required<CyclicLROptions>>(CyclicLR.parameters, options);
    const groups = optimizer.paramGroups;
    CyclicLR.fits(given, [], groups);
    const base = perGroup(given.baseLr, groups);
    groups.forEach((group, i) => {
      group.lr = base[i]!;
    });
    super(optimizer);
    this.options = given;
    this.#base = base;
    this.#max = perGroup(given.maxLr, groups);
    this.apply();
    // PyTorch begins where an earlier scheduler did, if there is one.
    for (const group of groups) group.lr = group.initialLr ?? group.lr;
  }

  // How far a cycle has gone up, between 0 and 1, times its own height.
  #height(): number {
    const { stepSizeUp, stepSizeDown, mode, gamma, scaleFn, scaleMode } = this.options;
    const total = stepSizeUp + (stepSizeDown ?? stepSizeUp);
    const rising = stepSizeUp / total;
    const cycle = Math.floor(1 + this.lastEpoch / total);
    const x = 1 + this.lastEpoch / total - cycle;
    const share = x <= rising ? x / rising : (x - 1) / (rising - 1);
    if (scaleFn) return share * scaleFn(scaleMode === 'cycle' ? cycle : this.lastEpoch);
    if (mode === 'exp_range') return share * gamma ** this.lastEpoch;
    return mode === 'triangular2' ? share / 2 ** (cycle - 1) : share;
  }

  protected override next(_lr: number, _baseLr: number, index: number): number {
    const [base, max] = [this.#base[index]!, this.#max[index]!];
    return base + (max - base) * this.#height();
  }

  protected override update(group: ParameterGroup, index: number): void {
    super.update(group, index);
    if (!this.options.cycleMomentum) return;
    const { paramGroups } = this.optimizer;
    const base = perGroup(this.options.baseMomentum, paramGroups)[index]!;
    const max = perGroup(this.options.maxMomentum, paramGroups)[index]!;
    setMomentum(group, max - (max - base) * this.#height());
  }
}

function scaleFunction(value: unknown): CyclicLROptions['scaleFn'] {
  if (value === undefined || value === null) return null;
  if (typeof value === 'function') return value as (x: number) => number;
  throw new ConfigError([], 'a function, which only code can give', shown(value));
}

/** Options of `OneCycleLR`. */
export interface OneCycleLROptions {
  /** The highest rate. */
  readonly maxLr: PerGroup;
  /** Steps of the whole cycle; or else `epochs` times `stepsPerEpoch`. */
  readonly totalSteps?: number | null;
  /** Epochs of the cycle, with `stepsPerEpoch` in place of `totalSteps`. */
  readonly epochs?: number | null;
  /** Steps of an epoch. */
  readonly stepsPerEpoch?: number | null;
  /** Share of the rising phase, in [0, 1]. Default 0.3. */
  readonly pctStart?: number;
  /** Default 'cos'. */
  readonly annealStrategy?: 'cos' | 'linear';
  /** Whether the momentum (the first beta of Adam) falls while the rate rises. Default true. */
  readonly cycleMomentum?: boolean;
  /** Default 0.85. */
  readonly baseMomentum?: PerGroup;
  /** Default 0.95. */
  readonly maxMomentum?: PerGroup;
  /** The first rate is `maxLr / divFactor`. Default 25. */
  readonly divFactor?: number;
  /** The last rate is the first one divided by this. Default 1e4. */
  readonly finalDivFactor?: number;
  /** Fall to the first rate in the time of the rise, then to the last one. Default false. */
  readonly threePhase?: boolean;
}

// The end of a phase, and between which rates and momenta it goes.
interface Phase {
  readonly end: number;
  readonly rates: readonly [number, number];
  readonly momenta: readonly [number, number];
}

const count = (): Parameter['check'] => integer(1).nullable().default(null);

/**
 * The one-cycle policy (L. Smith and N. Topin 2018): up to `maxLr` and down, far below the start. It lasts `totalSteps`
 * steps, and one step more is an error. The optimizer's rate does not count.
 */
export class OneCycleLR extends Scheduler {
  static readonly parameters: ParameterTable = {
    maxLr: eachGroup('max_lr'),
    totalSteps: parameter('total_steps', count()),
    epochs: parameter('epochs', count()),
    stepsPerEpoch: parameter('steps_per_epoch', count()),
    pctStart: parameter('pct_start', finite().min(0).max(1).default(0.3)),
    annealStrategy: parameter('anneal_strategy', oneOf(['cos', 'linear']).default('cos')),
    ...momenta(0.85, 0.95),
    divFactor: parameter('div_factor', positive().default(25)),
    finalDivFactor: parameter('final_div_factor', positive().default(1e4)),
    threePhase: parameter('three_phase', flag().default(false)),
  };

  /** What the table cannot tell. @throws ConfigError */
  static check({ totalSteps, epochs, stepsPerEpoch }: Required<OneCycleLROptions>, path: ConfigPath): void {
    if (totalSteps !== null || (epochs !== null && stepsPerEpoch !== null)) return;
    const [both, other] = path.length > 0 ? ['steps_per_epoch', 'epochs'] : ['stepsPerEpoch', 'epochs'];
    throw new ConfigError(
      placeOf(OneCycleLR.parameters, 'totalSteps', path),
      `an integer >= 1, unless there are ${other} and ${both}`,
      'nothing',
    );
  }

  /** What needs the optimizer's groups. @throws ConfigError */
  static fits(values: Cycled, path: ConfigPath, groups: readonly object[]): void {
    checkCycle(OneCycleLR.parameters, ['maxLr'], values, path, groups);
  }

  readonly options: Required<OneCycleLROptions>;
  readonly #totalSteps: number;
  readonly #phases: readonly (readonly Phase[])[];

  /** Options in either spelling. @throws ConfigError */
  constructor(optimizer: Scheduled, options: OneCycleLROptions) {
    const given = resolveParameters<Required<OneCycleLROptions>>(OneCycleLR.parameters, options);
    const groups = optimizer.paramGroups;
    OneCycleLR.check(given, []);
    OneCycleLR.fits(given, [], groups);
    const max = perGroup(given.maxLr, groups);
    groups.forEach((group, i) => {
      group.initialLr = max[i]! / given.divFactor;
    });
    super(optimizer);
    this.options = given;
    this.#totalSteps = given.totalSteps ?? given.epochs! * given.stepsPerEpoch!;
    this.#phases = groups.map((_, i) => this.#phasesOf(i));
    this.apply();
  }

  #phasesOf(index: number): readonly Phase[] {
    const { pctStart, divFactor, finalDivFactor, threePhase } = this.options;
    const { paramGroups } = this.optimizer;
    const [max, low, high] = (['maxLr', 'baseMomentum', 'maxMomentum'] as const).map(
      (name) => perGroup(this.options[name], paramGroups)[index]!,
    ) as [number, number, number];
    const first = max / divFactor;
    const last = first / finalDivFactor;
    const rise = pctStart * this.#totalSteps;
    const end = this.#totalSteps - 1;
    const up: Phase = { end: rise - 1, rates: [first, max], momenta: [high, low] };
    if (!threePhase) return [up, { end, rates: [max, last], momenta: [low, high] }];
    const down: Phase = { end: 2 * rise - 2, rates: [max, first], momenta: [low, high] };
    return [up, down, { end, rates: [first, last], momenta: [high, high] }];
  }

  override step(): void {
    if (this.lastEpoch >= this.#totalSteps) {
      throw new ConfigError(
        ['totalSteps'],
        `at least ${this.lastEpoch + 1}, the steps taken with this one`,
        shown(this.#totalSteps),
      );
    }
    super.step();
  }

  protected override next(_lr: number, _baseLr: number, index: number): number {
    return this.#between(index, 'rates');
  }

  protected override update(group: ParameterGroup, index: number): void {
    super.update(group, index);
    if (this.options.cycleMomentum) setMomentum(group, this.#between(index, 'momenta'));
  }

  #between(index: number, what: 'rates' | 'momenta'): number {
    const phases = this.#phases[index]!;
    const current = phases.findIndex(({ end }, i) => this.lastEpoch <= end || i === phases.length - 1);
    const { end, [what]: values } = phases[current]!;
    const begin = current === 0 ? 0 : phases[current - 1]!.end;
    // A phase of no length is over when it begins.
    const share = end === begin ? 1 : (this.lastEpoch - begin) / (end - begin);
    const [from, to] = values;
    if (this.options.annealStrategy === 'linear') return (to - from) * share + from;
    return to + ((from - to) / 2) * (Math.cos(Math.PI * share) + 1);
  }
}
