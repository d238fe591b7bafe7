import { z } from 'zod';
import { ConfigError, type ConfigPath } from '../errors.js';
import {
  checkValue,
  finite,
  flag,
  integer,
  KeyError,
  list,
  oneOf,
  type ParameterTable,
  plainTable,
  resolved,
  shown,
  text,
} from '../parameters.js';
import { checkpointSchedule } from '../training/checkpoint.js';
import { EarlyStopping } from '../training/index.js';
import { isTable, merged, type Table, valueAt } from './table.js';

/** A component of an experiment: the name of its class and what that takes, under the established names. */
export interface ComponentConfig {
  /** A name in the registry of such components. */
  readonly kind: string;
  /** What the class takes. Default: nothing. */
  readonly params: Readonly<Record<string, unknown>>;
}

/** `optimizer.scheduler` of a model. */
export interface SchedulerSection extends ComponentConfig {
  /** Whether the rate changes after each epoch, which is the default, or after each update of the weights. */
  readonly interval?: 'epoch' | 'step' | undefined;
}

/** `optimizer` of a model. */
export interface OptimizerSection extends ComponentConfig {
  /** How the rate changes. Default: it stays. */
  readonly scheduler?: SchedulerSection | undefined;
}

/** The section `[bench]`. */
export interface BenchSection {
  /** Names the folder of the runs. */
  readonly name: string;
  /** From 0 to 2^32 - 1. */
  readonly seed: number;
  /** First and last run index, inclusive; run i has the seed `seed + i`. */
  readonly first_run: number;
  /** Not below `first_run`. */
  readonly last_run: number;
  /** Modules of the user, relative to the file; names of Python packages are passed over. */
  readonly plugins: readonly string[];
  /** Whether training is validated on the test part. */
  readonly use_test_as_valid: boolean;
}

/** Ends training when a metric stops getting better; see `EarlyStoppingOptions`. */
export interface EarlyStoppingSection {
  /** A logged name. Default 'val_loss'. */
  readonly monitor?: string | undefined;
  /** Whether less or more is better. Default 'min'. */
  readonly mode?: 'max' | 'min' | undefined;
  /** Epochs without a better value, >= 1. Default 3. */
  readonly patience?: number | undefined;
  /** What a value must be better by, >= 0. Default 0. */
  readonly min_delta?: number | undefined;
}

/** See `CheckpointOptions`. */
export interface CheckpointSection {
  /** Steps of the optimizer between two checkpoints. Default: none within an epoch. */
  readonly every_steps?: number | undefined;
  /** Epochs between two checkpoints. Default 1. */
  readonly every_epochs?: number | undefined;
  /** How many are kept, the newest. Default 1. */
  readonly keep?: number | undefined;
}

/** A section `[[model]]`, the template merged in. */
export interface ModelSection extends ComponentConfig {
  /** Names the folders of its runs. */
  readonly name: string;
  /** 0: no training. */
  readonly epochs: number;
  /** Samples of a batch. Default 32. */
  readonly batch_size: number;
  /** Whether to begin with the weights of the last run of this name. */
  readonly load: boolean;
  /** Whether it is trained. Default true. */
  readonly train: boolean;
  /** Whether it is measured at the end. Default true. */
  readonly evaluate: boolean;
  /** Whether it is passed over. Default false. */
  readonly disabled: boolean;
  /** None: training does not change the weights. */
  readonly optimizer?: OptimizerSection | undefined;
  /** Batches whose gradients make one step of the optimizer. Default 1. */
  readonly accumulate_grad_batches?: number | undefined;
  /** Default 0: gradients are not clipped. */
  readonly gradient_clip_val?: number | undefined;
  /** Default 'norm'. */
  readonly gradient_clip_algorithm?: 'norm' | 'value' | undefined;
  /** When training ends before its last epoch. Default: never. */
  readonly early_stopping?: EarlyStoppingSection | undefined;
  /** When checkpoints are written; false for none. */
  readonly checkpoint?: CheckpointSection | false | undefined;
  /** Settings for quantization. */
  readonly update?:
    | {
        /** What `createNeuron` gets. */
        readonly quant_params?: Readonly<Record<string, unknown>> | undefined;
      }
    | undefined;
}

/** The fixed part of an experiment, checked, with its defaults, the template merged into the models. */
export interface ExperimentConfig {
  /** The section `[bench]`. */
  readonly bench: BenchSection;
  /** The section `[learningframework]`. */
  readonly learningframework: ComponentConfig;
  /** The section `[dataset]`. */
  readonly dataset: ComponentConfig;
  /** The sections `[[model]]`, in their order. */
  readonly model: readonly ModelSection[];
  /** Sections of the format that this version does not use, as they stand. */
  readonly unsupported: Readonly<Record<string, unknown>>;
}

const params = z.record(z.string(), z.unknown()).default({});
const component = z.strictObject({ kind: text(), params });
const interval = oneOf(['epoch', 'step']).optional();
const fileName = text()
  .regex(/^(?!\.{1,2}$)[^/\\\0]*$/)
  .describe('a name that can be part of a file name, without / and \\');

const bench = z.strictObject({
  name: fileName,
  seed: integer(0).max(2 ** 32 - 1),
  first_run: integer(0),
  last_run: integer(0),
  plugins: list(text()).default([]),
  use_test_as_valid: flag().default(false),
});

// A table of parameters under their established names.
function tableOf<T>(table: ParameterTable): z.ZodType<T> {
  const entries = Object.values(table).map(({ toml, check }) => [toml, z.optional(check)]);
  return z.strictObject(Object.fromEntries(entries)) as unknown as z.ZodType<T>;
}

const modelEntries = {
  name: fileName,
  kind: text(),
  params,
  epochs: integer(0).default(0),
  batch_size: integer(1).default(32),
  load: flag().default(false),
  train: flag().default(true),
  evaluate: flag().default(true),
  disabled: flag().default(false),
  optimizer: z
    .strictObject({ kind: text(), params, scheduler: component.extend({ interval }).optional() })
    .optional(),
  accumulate_grad_batches: integer(1).optional(),
  gradient_clip_val: finite().min(0).optional(),
  gradient_clip_algorithm: oneOf(['norm', 'value']).optional(),
  early_stopping: tableOf<EarlyStoppingSection>(EarlyStopping.parameters).optional(),
  checkpoint: resolved((value) =>
    value === false ? value : checkValue(tableOf<CheckpointSection>(checkpointSchedule), value, []),
  ).optional(),
  update: z.strictObject({ quant_params: params.optional() }).optional(),
};

// A template may have a part of each table only, at any depth.
const optional = <T extends z.ZodType>(check: T): z.ZodOptional<T> => z.optional(check);
const partialComponent = z.strictObject({ kind: optional(text()), params: optional(params) });
const template = z.strictObject({
  ...Object.fromEntries(Object.entries(modelEntries).map(([name, check]) => [name, optional(check)])),
  optimizer: partialComponent
    .extend({ scheduler: optional(partialComponent.extend({ interval })) })
    .optional(),
});

const steps = z.array(component);

// Sections whose work this version does not do; they are checked all the same, so that a file is right or wrong
// whatever the version.
const unsupported = {
  experimenttracking: component,
  deploy: z.strictObject({
    target: text(),
    converter: component,
    deployer: optional(partialComponent),
    evaluator: optional(partialComponent),
    quantize: z.array(z.enum(['float32', 'int16', 'int8'])),
    optimize: optional(z.array(z.string())),
    compress: optional(z.array(integer())),
    limit: optional(integer(0)),
  }),
  preprocessing: steps,
  data_augmentation: steps,
  postprocessing: z.array(component.extend({ export: optional(flag()) })),
  parameter_research: z.strictObject({
    optimize: z.strictObject({ params }),
    study: z.strictObject({ load: optional(flag()), params }),
    trial: z.record(z.string(), z.unknown()),
  }),
};

const fixedPart = z.strictObject({
  bench,
  learningframework: component,
  dataset: component,
  model: z.array(z.unknown()).min(1).describe('at least one table [[model]]'),
  model_template: optional(z.unknown()),
  ...Object.fromEntries(Object.entries(unsupported).map(([name, check]) => [name, optional(check)])),
});

const modelCheck = z.strictObject(modelEntries);

/**
 * Checks everything but the contents of `params`, fills in the defaults and merges the template into the models.
 * @throws ConfigError; for a value that a model has from the template the path begins with `model_template`
 */
export function checkFormat(tables: Table): ExperimentConfig {
  refusePrototypes(tables, []);
  const fixed = checkValue(fixedPart, tables, []) as unknown as Omit<ExperimentConfig, 'model'> & Table;
  const common = fixed['model_template'] ?? {};
  checkValue(template, common, ['model_template']);
  if (fixed.bench.last_run < fixed.bench.first_run) {
    const least = `an integer >= first_run = ${fixed.bench.first_run}`;
    throw new ConfigError(['bench', 'last_run'], least, `${fixed.bench.last_run}`);
  }
  const model = (fixed['model'] as unknown[]).map((entry, i) =>
    inTemplate(tables, (): ModelSection => {
      const whole = merged(plainTable(entry, ['model', i]), common as Table);
      return checkValue(modelCheck, whole, ['model', i]);
    }),
  );
  const names = Object.keys(unsupported).filter((name) => fixed[name] !== undefined);
  return {
    bench: fixed.bench,
    learningframework: fixed.learningframework,
    dataset: fixed.dataset,
    model,
    unsupported: Object.fromEntries(names.map((name) => [name, fixed[name]])),
  };
}

/** Runs a check of a model; an error in something that only the template has gets the template's path. */
export function inTemplate<T>(tables: Table, check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw error instanceof ConfigError ? asWritten(error, tables) : error;
  }
}

/** The error, with the template's path if it is about something of a model that only the template has. */
export function asWritten(error: ConfigError, tables: Table): ConfigError {
  const [section, index, ...inner] = error.path;
  if (section !== 'model' || index === undefined) return error;
  const template = tables['model_template'];
  if (depthOf(valueAt(tables, ['model', index]), inner) >= depthOf(template, inner)) return error;
  const kind = error.constructor as typeof ConfigError;
  return new kind(['model_template', ...inner], error.expected, error.got);
}

// How many steps of the path exist.
function depthOf(table: unknown, path: ConfigPath): number {
  let depth = 0;
  while (depth < path.length && valueAt(table, path.slice(0, depth + 1)) !== undefined) depth++;
  return depth;
}

// The name would vanish in tables made later, so that the error has to be found here.
function refusePrototypes(value: unknown, path: ConfigPath): void {
  if (value === null || typeof value !== 'object') return;
  for (const [key, entry] of Object.entries(value)) {
    const here = [...path, Array.isArray(value) ? Number(key) : key];
    if (key === '__proto__') throw new KeyError(here, 'another key', `unknown key ${shown(key)}`);
    refusePrototypes(entry, here);
  }
}

/** The configuration as a file has it: without what is absent, and with the template merged in. */
export function toTables({ unsupported: rest, ...config }: ExperimentConfig): Table {
  return withoutUndefined({ ...config, ...rest }) as Table;
}

function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (!isTable(value)) return value;
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  return Object.fromEntries(entries.map(([key, entry]) => [key, withoutUndefined(entry)]));
}
