import { ConfigError, type ConfigPath, ShapeError } from '../errors.js';
import { resetNet } from '../layer/index.js';
import type { StepMode } from '../nn/index.js';
import {
  flag,
  integer,
  list,
  oneOf,
  type Parameter,
  type ParameterTable,
  parameter,
  resolved,
  resolveParameters,
  text,
  zod,
} from '../parameters.js';
import { Registry } from '../registry.js';
import type { SNN } from '../snn.js';
import { autocast, type Device, isTensor, stack, type Tensor } from '../tensor/index.js';
import { argumentError } from '../tensor/operator.js';
import { type KindConfig, resolveKind } from './kind.js';
import { type Loss, losses } from './loss.js';
import { defaultMetrics, type MetricName, metricNames } from './metrics.js';

/** Which epoch counts as the best. */
export interface CheckpointMetric {
  /** A logged name: `val_acc`, `train_loss`, ... */
  readonly name: string;
  /** Whether more or less is better. */
  readonly mode: 'max' | 'min';
}

/** What every framework takes. */
export interface FrameworkOptions {
  /** A name in `losses`, `{ kind, params }`, or the loss itself; null for none. Default 'crossentropy'. */
  readonly loss?: string | KindConfig | Loss | null;
  /** Default: those of classes. */
  readonly metrics?: readonly MetricName[];
  /** Whether an evaluation has the confusion matrix too. Default true. */
  readonly enableConfusionMatrix?: boolean;
  /** Whether `fit` ends with the weights of the best epoch instead of the last. Default false. */
  readonly useBestEpoch?: boolean;
  /** Default `{ name: 'val_avgclsacc', mode: 'max' }`. */
  readonly checkpointMetric?: CheckpointMetric;
  /** Of experiments: 'cpu', 'gpu', or 'auto'. `fit` trains a network where its parameters are. Default 'auto'. */
  readonly accelerator?: string;
  /** Of experiments: which GPU, as the first number of a list; training uses one device. Default 'auto'. */
  readonly devices?: 'auto' | number | string | readonly number[];
  /**
   * 32, also as a string, or with the network's matrix products and convolutions in bfloat16 ('bf16-mixed') or in
   * float16 with scaled losses ('16-mixed'). Default 32.
   */
  readonly precision?: Precision;
  /** Whether the command line shows a bar on a terminal. Default true. */
  readonly enableProgressBar?: boolean;
  /** Steps between two updates of the bar; 0 for no bar. Default 1. */
  readonly progressBarRefreshRate?: number;
}

/** What a network computes in, under Lightning's names. */
export type Precision = 32 | '32' | 'bf16-mixed' | '16-mixed';

interface FrameworkParameters {
  readonly loss: Loss | null;
  readonly metrics: readonly MetricName[];
  readonly enableConfusionMatrix: boolean;
  readonly useBestEpoch: boolean;
  readonly checkpointMetric: CheckpointMetric;
  readonly precision: Precision;
}

function lossOf(value: unknown): Loss | null {
  // TOML has no null: there `loss = false` says it.
  if (value === null || value === false) return null;
  if (value === undefined) return lossOf('crossentropy');
  if (isLoss(value)) return value;
  const isName = typeof value === 'string';
  const { found, params } = resolveKind(losses, isName ? { kind: value } : value, []);
  return new found(params);
}

function isLoss(value: unknown): value is Loss {
  return typeof (value as { compute?: unknown }).compute === 'function';
}

const checkpointCheck = (): Parameter['check'] =>
  zod()
    .strictObject({ name: text(), mode: oneOf(['max', 'min']) })
    .default({ name: 'val_avgclsacc', mode: 'max' });

const devicesCheck = (): Parameter['check'] => {
  const { literal, string, union } = zod();
  return union([literal('auto'), integer(-1), string().regex(/^-?[\d, ]+$/), list(integer(0)).min(1)])
    .describe('"auto", a number of devices, or a list of them')
    .default('auto');
};

const precisionCheck = (): Parameter['check'] =>
  zod().literal([32, '32', 'bf16-mixed', '16-mixed']).describe('32, "bf16-mixed" or "16-mixed"').default(32);

/** The 16-bit dtype of a mixed precision; null for 32 bits. */
export function mixedDtype(precision: Precision): 'bfloat16' | 'float16' | null {
  if (precision === 'bf16-mixed') return 'bfloat16';
  return precision === '16-mixed' ? 'float16' : null;
}

/**
 * A way to present samples to a spiking network in time, and what is measured of its outputs. Every `forward` begins
 * with a reset of the network; its output is the mean over the time steps.
 */
export abstract class Framework {
  static readonly parameters: ParameterTable = {
    loss: parameter('loss', () => resolved(lossOf)),
    metrics: parameter('metrics', () => list(oneOf(metricNames)).default([...defaultMetrics])),
    enableConfusionMatrix: parameter('enable_confusion_matrix', () => flag().default(true)),
    useBestEpoch: parameter('use_best_epoch', () => flag().default(false)),
    checkpointMetric: parameter('checkpoint_metric', checkpointCheck),
    accelerator: parameter('accelerator', () => text().default('auto')),
    devices: parameter('devices', devicesCheck),
    precision: parameter('precision', precisionCheck),
    enableProgressBar: parameter('enable_progress_bar', () => flag().default(true)),
    progressBarRefreshRate: parameter('progress_bar_refresh_rate', () => integer(0).default(1)),
  };

  /** What is made small; null for none. */
  readonly loss: Loss | null;
  /** What is measured besides the loss. */
  readonly metrics: readonly MetricName[];
  /** Whether an evaluation has the confusion matrix too. */
  readonly enableConfusionMatrix: boolean;
  /** Whether `fit` ends with the weights of the best epoch. */
  readonly useBestEpoch: boolean;
  /** Which epoch counts as the best. */
  readonly checkpointMetric: CheckpointMetric;
  /** What the network computes in. */
  readonly precision: Precision;
  /** Whether the network's states go on from batch to batch, so that checkpoints have them. `forward` here resets them. */
  readonly keepsStates: boolean = false;

  /** Options in either spelling. @throws ConfigError */
  constructor(options: FrameworkOptions = {}) {
    const own = resolveParameters<FrameworkParameters>(Framework.parameters, options);
    this.loss = own.loss;
    this.metrics = own.metrics;
    this.enableConfusionMatrix = own.enableConfusionMatrix;
    this.useBestEpoch = own.useBestEpoch;
    this.checkpointMetric = own.checkpointMetric;
    this.precision = own.precision;
  }

  /**
   * The network's outputs for a batch, averaged over time: `[N, ...outputShape]`.
   * @param x as stored, channels last: `[N, H, W, C]`, `[N, S, C]` or `[N, features]`, with the time after N for
   * the frameworks with time steps in the data
   * In mixed precision the network runs in a region of `autocast`, and its outputs are float32.
   * @throws ShapeError for another rank or another number of time steps than the network has, or
   * outputs that are not as the network's `outputShape` says
   */
  forward(model: SNN, x: Tensor): Tensor {
    requireStepMode(this.constructor as FrameworkClass, model.stepMode, ['framework', 'kind']);
    const { timeInData } = this.constructor as FrameworkClass;
    const input = channelsFirst(x, timeInData);
    const steps = model.timesteps;
    if (timeInData && input.shape[1] !== steps) {
      throw new ShapeError(
        `${this.constructor.name}: the data has ${input.shape[1]} time steps, the network has timesteps = ${steps}`,
      );
    }
    resetNet(model);
    const outputs = this.#mixed(x.device, () => this.present(model, input, steps)).mean(0);
    const expected = [x.shape[0], ...model.outputShape];
    if (String(outputs.shape) !== String(expected)) {
      throw new ShapeError(
        `${model.constructor.name}.forward: the outputs' mean over time must have the shape [${expected}], ` +
          `got [${outputs.shape}]`,
      );
    }
    return outputs;
  }

  // Outputs in float32 again, for the mean over time and the loss.
  #mixed(device: Device, present: () => Tensor): Tensor {
    const dtype = mixedDtype(this.precision);
    if (dtype === null) return present();
    return autocast({ dtype, device: device === 'cpu' ? 'cpu' : 'cuda' }, present).to('float32');
  }

  /** The outputs `[T, N, *]` for an input `[N, *]`, or `[N, T, *]` with time in the data. */
  protected abstract present(model: SNN, input: Tensor, steps: number): Tensor;
}

/** The same input in each step, one call a step. */
export class SpikingJelly extends Framework {
  static readonly stepMode = 's' as const;
  static readonly timeInData = false as const;

  protected override present(model: SNN, input: Tensor, steps: number): Tensor {
    return stack(Array.from({ length: steps }, () => outputOf(model, input)));
  }
}

/** The same input in each step, one call for all; expanded in time, so layers before the first neuron compute it once. */
export class SpikingJellyMultiStep extends Framework {
  static readonly stepMode = 'm' as const;
  static readonly timeInData = false as const;

  protected override present(model: SNN, input: Tensor, steps: number): Tensor {
    return outputOf(model, input.unsqueeze(0).expand([steps, ...input.shape]));
  }
}

/** An own input for each step, one call a step. */
export class SpikingJellyTimeStepsInData extends Framework {
  static readonly stepMode = 's' as const;
  static readonly timeInData = true as const;

  protected override present(model: SNN, input: Tensor): Tensor {
    return stack(input.unbind(1).map((x) => outputOf(model, x)));
  }
}

/** An own input for each step, one call for all. */
export class SpikingJellyMultiStepTimeStepsInData extends Framework {
  static readonly stepMode = 'm' as const;
  static readonly timeInData = true as const;

  protected override present(model: SNN, input: Tensor): Tensor {
    return outputOf(model, input.transpose(0, 1));
  }
}

/** A class of frameworks with the table of its parameters. */
export interface FrameworkClass {
  // biome-ignore lint/suspicious/noExplicitAny: a class of a user may have options of its own
  new (options?: any): Framework;
  readonly parameters: ParameterTable;
  /** The step mode that the network must have. */
  readonly stepMode: StepMode;
  /** Whether the samples bring their time steps, as `[T, ...]`. */
  readonly timeInData: boolean;
}

const kinds: Readonly<Record<string, FrameworkClass>> = {
  SpikingJelly,
  SpikingJellyMultiStep,
  SpikingJellyTimeStepsInData,
  SpikingJellyMultiStepTimeStepsInData,
};

/** Frameworks by `kind`. */
export const frameworks: Registry<FrameworkClass> = new Registry<FrameworkClass>('learning framework', kinds);

/**
 * The framework must present time as the network takes it.
 * @throws ConfigError that names both settings
 */
export function requireStepMode(framework: FrameworkClass, stepMode: StepMode, path: ConfigPath): void {
  if (framework.stepMode === stepMode) return;
  const fitting = Object.values(kinds).find(
    (kind) => kind.stepMode === stepMode && kind.timeInData === framework.timeInData,
  );
  throw new ConfigError(
    path,
    `${fitting?.name}, since the network's step_mode is "${stepMode}"`,
    `${framework.name}, which is for step_mode "${framework.stepMode}"`,
  );
}

function outputOf(model: SNN, x: Tensor): Tensor {
  const output = model.forward(x as never);
  if (!isTensor(output))
    throw argumentError(`${model.constructor.name}.forward`, 'result', 'a Tensor', output);
  return output;
}

// [N, H, W, C] -> [N, C, H, W] and [N, S, C] -> [N, C, S], with the time after N if it is in the data.
function channelsFirst(x: Tensor, timeInData: boolean): Tensor {
  const fixed = timeInData ? [0, 1] : [0];
  const rank = x.ndim;
  const inner = rank - fixed.length;
  if (inner < 1 || inner > 3) {
    const time = timeInData ? 'T, ' : '';
    throw new ShapeError(
      `expected data of shape [N, ${time}H, W, C], [N, ${time}S, C] or [N, ${time}features], got [${x.shape}]`,
    );
  }
  if (inner === 1) return x;
  const places = Array.from({ length: inner - 1 }, (_, i) => fixed.length + i);
  return x.permute([...fixed, rank - 1, ...places]);
}
