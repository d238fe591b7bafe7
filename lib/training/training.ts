import { setImmediate as turn } from 'node:timers/promises';
import type { Dataset } from '../data/index.js';
import { Loader } from '../data/loader.js';
import { ConfigError } from '../errors.js';
import { resetNet } from '../layer/index.js';
import { clipGradNorm, clipGradValue } from '../nn/index.js';
import {
  finite,
  flag,
  integer,
  oneOf,
  type Parameter,
  type ParameterTable,
  parameter,
  resolveParameters,
  shown,
  zod,
} from '../parameters.js';
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
import { BestEpoch, requireLogged } from './best-epoch.js';
import { resolveFramework, resolveOptimizer } from './configuration.js';
import { EarlyStopping } from './early-stopping.js';
import { evaluate, judge, Meter, requireClasses, requireOutputs, switchMode } from './evaluate.js';
import type { EpochMetrics, FitOptions, FitResult } from './fit.js';
import { type Framework, mixedDtype } from './framework.js';
import { GradScaler } from './grad-scaler.js';
import type { Optimizer } from './optimizer.js';
import type { Scheduler } from './scheduler.js';
import { captureGenerators, restoreGenerators } from './snapshot.js';
import { TrainingCheckpoints } from './training-checkpoints.js';

/** The options of `fit` that are values, with their defaults filled in. */
export interface FitParameters {
  readonly epochs: number;
  readonly batchSize: number;
  readonly seed?: number;
  readonly dropLast: boolean;
  readonly accumulateGradBatches: number;
  readonly gradientClipVal: number;
  readonly gradientClipAlgorithm: 'norm' | 'value';
}

const anything = (): Parameter['check'] => zod().unknown();

const fitTable: ParameterTable = {
  epochs: parameter('epochs', () => integer(0)),
  batchSize: parameter('batch_size', () => integer(1).default(32)),
  seed: parameter('seed', () => integer(0).optional()),
  dropLast: parameter('drop_last', () => flag().default(false)),
  accumulateGradBatches: parameter('accumulate_grad_batches', () => integer(1).default(1)),
  gradientClipVal: parameter('gradient_clip_val', () => finite().min(0).default(0)),
  gradientClipAlgorithm: parameter('gradient_clip_algorithm', () => oneOf(['norm', 'value']).default('norm')),
  // Checked by what uses them.
  optimizer: parameter('optimizer', anything),
  framework: parameter('framework', anything),
  validation: parameter('validation', anything),
  earlyStopping: parameter('early_stopping', anything),
  checkpoint: parameter('checkpoint', anything),
  resume: parameter('resume', anything),
  signal: parameter('signal', anything),
  onStep: parameter('on_step', anything),
  onEpoch: parameter('on_epoch', anything),
  onResume: parameter('on_resume', anything),
};

/** One training of one network. */
export class Training {
  readonly #model: SNN;
  readonly #data: Dataset;
  readonly #options: FitOptions;
  readonly #parameters: FitParameters;
  readonly #framework: Framework;
  readonly #optimizer: Optimizer | null = null;
  readonly #scheduler: Scheduler | null = null;
  // In 16 bits small gradients would vanish in float16 alone.
  readonly #scaler: GradScaler;
  readonly #placement: Placement;
  readonly #outputs: number;
  readonly #best: BestEpoch | null;
  readonly #stopping: EarlyStopping | null;
  readonly #checkpoints: TrainingCheckpoints | null;
  readonly #epochs: EpochMetrics[] = [];
  // Where training is: the epoch (from 1), its batches that are done, steps of the optimizer since the begin.
  #epoch = 1;
  #batch = 0;
  #steps = 0;
  #orderSeed = 0;
  #meter: Meter;
  #interrupted = false;

  constructor(model: SNN, data: Dataset, options: FitOptions) {
    this.#parameters = resolveParameters<FitParameters>(fitTable, options);
    this.#framework = resolveFramework(options.framework ?? {}, model.stepMode, ['framework']).create();
    const resolved = options.optimizer && resolveOptimizer(options.optimizer, ['optimizer']);
    checkDataset(data, 'fit');
    if (options.validation) checkDataset(options.validation, 'fit: validation');
    this.#outputs = requireOutputs(model, data, 'fit');
    requireClasses(this.#framework, this.#outputs);
    this.#model = model;
    this.#data = data;
    this.#options = options;
    this.#placement = placementOf(model);
    const hasValidation = options.validation !== undefined;
    this.#best = BestEpoch.of(this.#framework, model, hasValidation);
    this.#stopping = options.earlyStopping
      ? new EarlyStopping(options.earlyStopping, ['earlyStopping'])
      : null;
    if (this.#stopping) {
      requireLogged(this.#framework, this.#stopping.monitor, hasValidation, ['earlyStopping', 'monitor']);
    }
    if (resolved && resolved.monitor !== null) {
      const place = ['optimizer', 'scheduler', 'params', 'monitor'];
      requireLogged(this.#framework, resolved.monitor, hasValidation, place);
    }
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
    this.#scaler = new GradScaler({ enabled: mixedDtype(this.#framework.precision) === 'float16' });
    this.#checkpoints = TrainingCheckpoints.of(options);
    this.#meter = this.#newMeter();
    if (resolved)
      ({ optimizer: this.#optimizer, scheduler: this.#scheduler } = resolved.create(model.parameters()));
  }

  /** Gives the memory of what training has needed back; the network stays. */
  dispose(): void {
    this.#optimizer?.dispose();
    this.#scaler.dispose();
    this.#best?.dispose();
  }

  async run(): Promise<FitResult> {
    const restore = switchMode(this.#model, true);
    using loader = new Loader(this.#data);
    try {
      await this.#begin();
      while (this.#epoch <= this.#parameters.epochs && !this.#interrupted && !this.#stopping?.stops) {
        const metrics = await this.#runEpoch(loader);
        if (metrics !== null) await this.#endEpoch(metrics);
      }
      await this.#save();
      await this.#checkpoints?.finish();
      const bestEpoch = this.#best?.restore();
      return {
        epochs: this.#epochs,
        interrupted: this.#interrupted,
        ...(bestEpoch !== undefined && { bestEpoch }),
        ...(this.#stopping?.stops && { stoppedEarly: true }),
      };
    } finally {
      // After an error too: nobody else is to write into the folder meanwhile.
      await this.#checkpoints?.finish().catch(() => {});
      this.#optimizer?.zeroGrad();
      this.dispose();
      resetNet(this.#model);
      restore();
    }
  }

  async #begin(): Promise<void> {
    const { epochs, seed } = this.#parameters;
    const training = { ...this.#parts(), parameters: this.#parameters, data: this.#data };
    const found = await this.#checkpoints?.begin(training, this.#framework, this.#options);
    if (!found) {
      if (seed !== undefined) manualSeed(seed);
      this.#orderSeed = seed ?? drawnSeed();
      return;
    }
    found.requireEpochs(epochs);
    const { progress, info } = found;
    this.#epoch = progress.epoch;
    this.#batch = progress.batch;
    this.#steps = progress.steps;
    this.#orderSeed = progress.order_seed;
    if (progress.meter) this.#meter.loadStateDict(progress.meter);
    for (const metrics of info.epochs) {
      this.#epochs.push(metrics);
      this.#stopping?.offer(metrics);
    }
    await found.tell(this.#options.onResume);
  }

  #parts(): Parameters<TrainingCheckpoints['save']>[0] {
    return {
      model: this.#model,
      optimizer: this.#optimizer,
      scheduler: this.#scheduler,
      scaler: this.#scaler,
      best: this.#best,
      keepsStates: this.#framework.keepsStates,
    };
  }

  // A checkpoint of where training is, if there is not one yet.
  async #save(): Promise<void> {
    await this.#checkpoints?.save(this.#parts(), {
      epoch: this.#epoch,
      batch: this.#batch,
      steps: this.#steps,
      order_seed: this.#orderSeed,
      meter: this.#batch > 0 ? this.#meter.stateDict() : null,
      epochs: this.#epochs,
    });
  }

  #newMeter(): Meter {
    return new Meter(this.#framework, this.#outputs);
  }

  // The rest of the epoch, all of it if it is a new one; null if it was interrupted between two steps.
  async #runEpoch(loader: Loader): Promise<EpochMetrics | null> {
    const { epochs, batchSize, dropLast, accumulateGradBatches: many } = this.#parameters;
    const { length } = this.#data;
    const epoch = this.#epoch;
    const steps = dropLast ? Math.floor(length / batchSize) : Math.ceil(length / batchSize);
    const order = epochOrder(length, this.#orderSeed, epoch).subarray(0, steps * batchSize);
    let number = 0;
    for await (const batch of batches(loader, batchSize, order, dropLast)) {
      number += 1;
      if (number <= this.#batch) continue;
      const isFirst = (number - 1) % many === 0;
      const isLast = number % many === 0 || number === steps;
      if (isFirst && this.#options.signal?.aborted) {
        this.#interrupted = true;
        return null;
      }
      const loss = await this.#step(batch, this.#weightOf(batch, number, order), isFirst, isLast);
      this.#batch = number;
      this.#options.onStep?.({ epoch, epochs, step: number, steps, loss, dataWait: batch.waited });
      if (isLast) {
        this.#steps += 1;
        if (this.#checkpoints?.isDueAfterStep(this.#steps)) await this.#save();
      }
      await turn();
    }
    const lr = this.#optimizer?.paramGroups[0]?.lr;
    const trained = { epoch, ...(lr === undefined ? {} : { lr }), ...this.#meter.report('train_') };
    return { ...trained, ...(await this.#validate()) };
  }

  // The batch's share of the loss of the step that it belongs to, as if all its batches were one.
  #weightOf(batch: Batch, number: number, order: Int32Array): number {
    const { batchSize, accumulateGradBatches: many } = this.#parameters;
    const { loss } = this.#framework;
    if (many === 1 || loss?.reduction === 'sum') return 1;
    const before = Math.floor((number - 1) / many) * many;
    const step = order.subarray(before * batchSize, (before + many) * batchSize);
    const labels = Int32Array.from(step, (sample) => this.#data.y[sample]!);
    const weight = (y: Int32Array): number => loss?.weightOf?.(y) ?? y.length;
    return weight(batch.y) / weight(labels);
  }

  // The loss of the batch before its update.
  async #step(batch: Batch, weight: number, isFirst: boolean, isLast: boolean): Promise<number> {
    using scope = new Scope();
    const optimizer = this.#optimizer;
    const forward = (): ReturnType<typeof judge> => {
      const { x, y } = tensorsOf(batch, this.#placement);
      return judge(this.#framework, this.#framework.forward(this.#model, x), y);
    };
    if (optimizer === null) {
      return await this.#meter.add(
        batch,
        scope.run(() => noGrad(forward)),
      );
    }
    if (isFirst) optimizer.zeroGrad();
    const judgement = scope.run(() => enableGrad(forward));
    const { loss } = judgement;
    const share = weight === 1 ? loss : scope.run(() => enableGrad(() => loss?.mul(weight)));
    const scaler = this.#scaler;
    await scope.run(() => enableGrad(() => share && scaler.scale(share)))?.backwardAsync();
    if (isLast) {
      if (this.#parameters.gradientClipVal > 0) {
        scaler.unscale_(optimizer);
        this.#clip(optimizer);
      }
      await scaler.stepAsync(optimizer);
      scaler.update();
      this.#scheduler?.stepBatch();
    }
    return await this.#meter.add(batch, judgement);
  }

  #clip(optimizer: Optimizer): void {
    const { gradientClipVal: limit, gradientClipAlgorithm: algorithm } = this.#parameters;
    const parameters = optimizer.paramGroups.flatMap(({ params }) => params);
    tidy(() => {
      if (algorithm === 'value') clipGradValue(parameters, limit);
      else clipGradNorm(parameters, limit);
    });
  }

  async #endEpoch(metrics: EpochMetrics): Promise<void> {
    this.#epochs.push(metrics);
    this.#best?.offer(metrics);
    await this.#options.onEpoch?.(metrics);
    // One whose validation was cut short is reported, but not what training would go on from.
    if (this.#interrupted) return;
    this.#scheduler?.stepEpoch(metrics);
    this.#stopping?.offer(metrics);
    this.#epoch += 1;
    this.#batch = 0;
    this.#meter = this.#newMeter();
    if (this.#checkpoints?.isDueAfterEpoch(metrics.epoch)) await this.#save();
  }

  async #validate(): Promise<Record<string, number>> {
    const { validation, framework, signal } = this.#options;
    if (validation === undefined) return {};
    const { batchSize } = this.#parameters;
    const generators = captureGenerators(this.#model);
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
      // Training goes on from before the validation.
      restoreGenerators(this.#model, generators);
      await this.#save();
      return {};
    } finally {
      for (const state of generators.values()) state.dispose();
    }
  }
}

function drawnSeed(): number {
  return tidy(() => Number(randint(0, 2 ** 32, [1], { dtype: 'int64' }).item()));
}
