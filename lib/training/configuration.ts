import type { ConfigPath } from '../errors.js';
import type { StepMode } from '../nn/index.js';
import { type ParameterTable, plainTable } from '../parameters.js';
import { Registry } from '../registry.js';
import type { Tensor } from '../tensor/index.js';
import { Adam, AdamW } from './adam.js';
import { type Framework, type FrameworkClass, frameworks } from './framework.js';
import { type KindConfig, resolveKind } from './kind.js';
import type { Optimizer } from './optimizer.js';
import { CosineAnnealingLR, MultiStepLR, type Scheduled, type Scheduler, StepLR } from './scheduler.js';
import { SGD } from './sgd.js';

/** A class of optimizers with the table of its hyperparameters. */
export interface OptimizerClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (parameters: Iterable<Tensor>, options?: any): Optimizer<any>;
  readonly parameters: ParameterTable;
  /** What the table cannot tell. @throws ConfigError */
  check?(values: never, path: ConfigPath): void;
}

/** A class of learning-rate schedulers with the table of its parameters. */
export interface SchedulerClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (optimizer: Scheduled, options?: any): Scheduler;
  readonly parameters: ParameterTable;
}

/** Optimizers by `kind`. */
export const optimizers: Registry<OptimizerClass> = new Registry<OptimizerClass>('optimizer kind', {
  SGD,
  Adam,
  AdamW,
});

/** Learning-rate schedulers by `kind`. */
export const schedulers: Registry<SchedulerClass> = new Registry<SchedulerClass>('scheduler kind', {
  StepLR,
  MultiStepLR,
  CosineAnnealingLR,
});

/** How a network is optimized: the optimizer, and how its rate changes from epoch to epoch. */
export interface OptimizerConfig extends KindConfig {
  readonly scheduler?: KindConfig | undefined;
}

/** An optimizer configuration that has been checked. */
export interface ResolvedOptimizer {
  create(parameters: Iterable<Tensor>): {
    readonly optimizer: Optimizer;
    readonly scheduler: Scheduler | null;
  };
}

/**
 * Finds optimizer and scheduler and checks their parameters, without libtorch.
 * @throws ConfigError with the place below `path`: `optimizer.scheduler.params.gamma`
 */
export function resolveOptimizer(config: unknown, path: ConfigPath): ResolvedOptimizer {
  const optimizer = resolveKind(optimizers, config, path, ['scheduler']);
  const { scheduler: given } = plainTable(config, path);
  const scheduler = given === undefined ? null : resolveKind(schedulers, given, [...path, 'scheduler']);
  return {
    create: (parameters) => {
      const made = new optimizer.found(parameters, optimizer.params);
      return { optimizer: made, scheduler: scheduler && new scheduler.found(made, scheduler.params) };
    },
  };
}

/** A framework configuration that has been checked. */
export interface ResolvedFramework {
  readonly frameworkClass: FrameworkClass;
  create(): Framework;
}

/**
 * Finds the framework and checks its parameters, without libtorch. No `kind` means the framework for the network's
 * step mode, with the same input in each time step.
 * @throws ConfigError with the place below `path`
 */
export function resolveFramework(config: unknown, stepMode: StepMode, path: ConfigPath): ResolvedFramework {
  const usual = stepMode === 'm' ? 'SpikingJellyMultiStep' : 'SpikingJelly';
  const { kind = usual, ...rest } = plainTable(config, path);
  const { found, params } = resolveKind(frameworks, { ...rest, kind }, path);
  return { frameworkClass: found, create: () => new found(params) };
}
