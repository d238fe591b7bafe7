import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import type { Dataset } from '../data/index.js';
import { Loader } from '../data/loader.js';
import { ConfigError } from '../errors.js';
import { resetNet } from '../layer/index.js';
import { flag, integer, type ParameterTable, parameter, resolveParameters, shown } from '../parameters.js';
import type { SNN } from '../snn.js';
import { enableGrad, manualSeed, noGrad, randint, Scope, tidy } from '../tensor/index.js';
import {
  type Batch,
  batches,
  checkDataset,
  epochOrder,
  type Placement,
  placementOf,
  tensorsOf,
} from './batches.js';
import { BestEpoch } from './best-epoch.js';
import { type OptimizerConfig, resolveFramework, resolveOptimizer } from './configuration.js';
import { evaluate, judge, Meter, requireOutputs, switchMode } from './evaluate.js';
import type { Framework } from './framework.js';
import type { KindConfig } from './kind.js';
import type { Optimizer } from './optimizer.js';
import type { Scheduler } from './scheduler.js';

/** Where training is; epochs and steps count from 1. */
export interface StepInfo {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  /** Mean loss of the batch; NaN without a loss. */
  readonly loss: number;
  /** Seconds that the step waited for its data, which a native thread gathers ahead. */
  readonly dataWait: number;
}

/**
 * What was measured in an epoch: `epoch` (from 1), `lr` (the rate used in it, of the first group; with an optimizer
 * only), `train_loss`, `train_acc`, ..., and `val_loss`, `val_acc`, ... with a validation set.
 */
export type EpochMetrics = Readonly<Record<string, number>> & { readonly epoch: number };

export interface FitOptions {
  /** 0 trains nothing. */
  readonly epochs: number;
  /** Default 32. */
  readonly batchSize?: number | undefined;
  /** None: the network runs and is measured, but its weights stay. */
  readonly optimizer?: OptimizerConfig | undefined;
  /** Default: the framework for the network's step mode, with all metrics and cross entropy. */
  readonly framework?: Partial<KindConfig> | undefined;
  /** Measured after each epoch. */
  readonly validation?: Dataset | undefined;
  /**
   * Seeds libtorch's generator (dropout and the like) at the start, and the order of the samples, which depends on
   * seed and epoch alone. Without it libtorch's generator goes on from where it is and gives the order's seed too.
   * Weights are the caller's: seed before making the network. The same seeds on the same number of threads give the
   * same results.
   */
  readonly seed?: number | undefined;
  /** Leave out a last batch that is not full. Default false. */
  readonly dropLast?: boolean | undefined;
  /** When it aborts, the current step is finished, and `fit` ends with `interrupted: true`. */
  readonly signal?: AbortSignal | undefined;
  readonly onStep?: ((info: StepInfo) => void) | undefined;
  readonly onEpoch?: ((metrics: EpochMetrics) => void | Promise<void>) | undefined;
}

export interface FitResult {
  /** Of the epochs that were finished. */
  readonly epochs: readonly EpochMetrics[];
  readonly interrupted: boolean;
  /** The epoch whose weights the network has, with `useBestEpoch`. */
  readonly bestEpoch?: number;
}

interface FitParameters {
  readonly epochs: number;
  readonly batchSize: number;
  readonly seed?: number;
  readonly dropLast: boolean;
}

const anything = z.unknown();

const fitTable: ParameterTable = {
  epochs: parameter('epochs', integer(0)),
  batchSize: parameter('batch_size', integer(1).default(32)),
  seed: parameter('seed', integer(0).optional()),
  dropLast: parameter('drop_last', flag().default(false)),
  // Checked by what uses them.
  optimizer: parameter('optimizer', anything),
  framework: parameter('framework', anything),
  validation: parameter('validation', anything),
  signal: parameter('signal', anything),
  onStep: parameter('on_step', anything),
  onEpoch: parameter('on_epoch', anything),
};

/** One training of one network. */
class Training {
  readonly #model: SNN;
  readonly #data: Dataset;
  readonly #options: FitOptions;
  readonly #parameters: FitParameters;
  readonly #framework: Framework;
  readonly #optimizer: Optimizer | null = null;
  readonly #scheduler: Scheduler | null = null;
  readonly #placement: Placement;
  readonly #outputs: number;
  readonly #best: BestEpoch | null;
  readonly #epochs: EpochMetrics[] = [];
  #interrupted = false;

  constructor(model: SNN, data: Dataset, options: FitOptions) {
    this.#parameters = resolveParameters<FitParameters>(fitTable, options);
    this.#framework = resolveFramework(options.framework ?? {}, model.stepMode, ['framework']).create();
    const resolved = options.optimizer && resolveOptimizer(options.optimizer, ['optimizer']);
    checkDataset(data, 'fit');
    if (options.validation) checkDataset(options.validation, 'fit: validation');
    this.#outputs = requireOutputs(model, data, 'fit');
    this.#model = model;
    this.#data = data;
    this.#options = options;
    this.#placement = placementOf(model);
    this.#best = BestEpoch.of(this.#framework, model, options.validation !== undefined);
    if (resolved && this.#framework.loss === null) {
      throw new ConfigError(['framework', 'params', 'loss'], 'a loss for the optimizer', 'none');
    }
    const { batchSize, dropLast } = this.#parameters;
    if (dropLast && data.length < batchSize) {
      throw new ConfigError(
        ['batchSize'],
        `at most ${data.length}, the samples, with dropLast`,
        shown(batchSize),
      );
    }
    if (resolved)
      ({ optimizer: this.#optimizer, scheduler: this.#scheduler } = resolved.create(model.parameters()));
  }

  async run(): Promise<FitResult> {
    const { epochs, seed } = this.#parameters;
    using loader = new Loader(this.#data);
    if (seed !== undefined) manualSeed(seed);
    const orderSeed = seed ?? drawnSeed();
    const restore = switchMode(this.#model, true);
    try {
      for (let epoch = 1; epoch <= epochs && !this.#interrupted; epoch++) {
        const metrics = await this.#epoch(epoch, loader, orderSeed);
        if (metrics === null) break;
        this.#epochs.push(metrics);
        this.#best?.offer(metrics);
        await this.#options.onEpoch?.(metrics);
        this.#scheduler?.stepEpoch(metrics);
      }
      const bestEpoch = this.#best?.restore();
      const result = { epochs: this.#epochs, interrupted: this.#interrupted };
      return bestEpoch === undefined ? result : { ...result, bestEpoch };
    } finally {
      this.#optimizer?.zeroGrad();
      this.#optimizer?.dispose();
      this.#best?.dispose();
      resetNet(this.#model);
      restore();
    }
  }

  // Null if it was interrupted between two steps.
  async #epoch(epoch: number, loader: Loader, orderSeed: number): Promise<EpochMetrics | null> {
    const { epochs, batchSize, dropLast } = this.#parameters;
    const { length } = this.#data;
    const steps = dropLast ? Math.floor(length / batchSize) : Math.ceil(length / batchSize);
    const meter = new Meter(this.#framework, this.#outputs);
    let step = 0;
    for await (const batch of batches(loader, batchSize, epochOrder(length, orderSeed, epoch), dropLast)) {
      if (this.#options.signal?.aborted) {
        this.#interrupted = true;
        return null;
      }
      const loss = await this.#step(batch, meter);
      step += 1;
      this.#options.onStep?.({ epoch, epochs, step, steps, loss, dataWait: batch.waited });
      await turn();
    }
    const lr = this.#optimizer?.paramGroups[0]?.lr;
    const trained = { epoch, ...(lr === undefined ? {} : { lr }), ...meter.report('train_') };
    return { ...trained, ...(await this.#validate()) };
  }

  // The loss of the batch before its update.
  async #step(batch: Batch, meter: Meter): Promise<number> {
    using scope = new Scope();
    const optimizer = this.#optimizer;
    const forward = (): ReturnType<typeof judge> => {
      const { x, y } = tensorsOf(batch, this.#placement);
      return judge(this.#framework, this.#framework.forward(this.#model, x), y);
    };
    if (optimizer === null) {
      return await meter.add(
        batch,
        scope.run(() => noGrad(forward)),
      );
    }
    optimizer.zeroGrad();
    const judgement = scope.run(() => enableGrad(forward));
    await judgement.loss?.backwardAsync();
    await optimizer.stepAsync();
    this.#scheduler?.stepBatch();
    return await meter.add(batch, judgement);
  }

  async #validate(): Promise<Record<string, number>> {
    const { validation, framework, signal } = this.#options;
    if (validation === undefined) return {};
    const { batchSize } = this.#parameters;
    try {
      // A matrix for every epoch would fill the log.
      const { cm, ncm, avg_class_accuracy, ...metrics } = await evaluate(this.#model, validation, {
        batchSize,
        prefix: 'val_',
        ...(framework && { framework }),
        ...(signal && { signal }),
      });
      return metrics;
    } catch (error) {
      if (!signal?.aborted || error !== signal.reason) throw error;
      this.#interrupted = true;
      return {};
    }
  }
}

function drawnSeed(): number {
  return tidy(() => Number(randint(0, 2 ** 32, [1], { dtype: 'int64' }).item()));
}

/**
 * Trains a network: for each epoch the samples in a new order, the mean loss over a batch, its gradients, a step of
 * the optimizer; then the validation, and a step of the scheduler. The event loop gets a turn after each step, and
 * backward and the loading of data run on native threads; the data's values are copied at the start. The network is in training mode meanwhile; afterwards its modules have their modes
 * back, its states are reset and its gradients dropped.
 * @throws ConfigError for options; ShapeError for data that does not fit the network
 */
export async function fit(model: SNN, data: Dataset, options: FitOptions): Promise<FitResult> {
  return new Training(model, data, options).run();
}
