import { ConfigError, type ConfigPath } from '../errors.js';
import type { StepMode } from '../nn/index.js';
import { checkValue, oneOf, type ParameterTable, plainTable, shown } from '../parameters.js';
import { Registry } from '../registry.js';
import type { Tensor } from '../tensor/index.js';
import { type Framework, type FrameworkClass, frameworks } from './framework.js';
import { type KindConfig, resolveKind } from './kind.js';
import type { Optimized, Optimizer } from './optimizer.js';
import { Adadelta } from './optimizers/adadelta.js';
import { Adagrad } from './optimizers/adagrad.js';
import { Adam, AdamW } from './optimizers/adam.js';
import { Adamax } from './optimizers/adamax.js';
import { ASGD } from './optimizers/asgd.js';
import { NAdam } from './optimizers/nadam.js';
import { RAdam } from './optimizers/radam.js';
import { RMSprop } from './optimizers/rmsprop.js';
import { Rprop } from './optimizers/rprop.js';
import { SGD } from './optimizers/sgd.js';
import type { Scheduled, Scheduler, SchedulerInterval } from './scheduler.js';
import { schedulers } from './schedulers/sequence.js';

/** A class of optimizers with the table of its hyperparameters. */
export interface OptimizerClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (parameters: Optimized, options?: any): Optimizer<any>;
  readonly parameters: ParameterTable;
  /** What the table cannot tell. @throws ConfigError */
  check?(values: never, path: ConfigPath): void;
}

/** Optimizers by `kind`. */
export const optimizers: Registry<OptimizerClass> = new Registry<OptimizerClass>('optimizer kind', {
  SGD,
  Adam,
  AdamW,
  NAdam,
  RAdam,
  Adamax,
  Adadelta,
  Adagrad,
  RMSprop,
  Rprop,
  ASGD,
});

/** How the rate changes, and whether that happens after each epoch (the default) or each update of the weights. */
export interface SchedulerConfig extends KindConfig {
  /** Default 'epoch'. */
  readonly interval?: SchedulerInterval | undefined;
}

/** How a network is optimized: the optimizer, and how its rate changes. */
export interface OptimizerConfig extends KindConfig {
  /** Default: the rate stays. */
  readonly scheduler?: SchedulerConfig | undefined;
}

/** An optimizer configuration that has been checked. */
export interface ResolvedOptimizer {
  /** The metric that the scheduler was told to monitor; null where it needs none or takes the loss. */
  readonly monitor: string | null;
  /** The optimizer of some parameters, and its scheduler. */
  create(parameters: Iterable<Tensor>): {
    /** Of the parameters. */
    readonly optimizer: Optimizer;
    /** Null where none is configured. */
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
  const scheduler =
    given === undefined ? null : resolveScheduler(given, optimizer.params, [...path, 'scheduler']);
  return {
    monitor: scheduler?.monitor ?? null,
    create: (parameters) => {
      const made = new optimizer.found(parameters, optimizer.params);
      return { optimizer: made, scheduler: scheduler?.create(made) ?? null };
    },
  };
}

// `hyperparameters` are those of the optimizer's one group.
function resolveScheduler(
  config: unknown,
  hyperparameters: object,
  path: ConfigPath,
): { readonly monitor: string | null; create(optimizer: Scheduled): Scheduler } {
  const { found, kind, params } = resolveKind(schedulers, config, path, ['interval']);
  found.fits?.(params as never, [...path, 'params'], [hyperparameters]);
  const { interval: given = 'epoch' } = plainTable(config, path);
  const interval = checkValue(oneOf(['epoch', 'step']), given, [...path, 'interval']);
  if (found.needsMetric && interval === 'step') {
    throw new ConfigError(
      [...path, 'interval'],
      `"epoch" for ${kind}, whose metric is that of an epoch`,
      shown(interval),
    );
  }
  const { monitor } = params;
  return {
    monitor: found.needsMetric && typeof monitor === 'string' ? monitor : null,
    create: (optimizer) => Object.assign(new found(optimizer, params), { interval }),
  };
}

/** A framework configuration that has been checked. */
export interface ResolvedFramework {
  /** The class that `kind` names. */
  readonly frameworkClass: FrameworkClass;
  /** A new framework with the checked parameters. */
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
