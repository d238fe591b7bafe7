import { join } from 'node:path';
import type { DataModel, Dataset } from '../data/index.js';
import { ConfigError, type ConfigPath } from '../errors.js';
import type { SNN } from '../snn.js';
import { type Device, manualSeed } from '../tensor/index.js';
import { listCheckpoints } from '../training/checkpoint.js';
import { checkFit } from '../training/fit.js';
import {
  type EarlyStoppingOptions,
  type EpochMetrics,
  type Evaluation,
  evaluate,
  type FitOptions,
  type FitResult,
  fit,
  frameworks,
  type StepInfo,
} from '../training/index.js';
import type { Experiment, ExperimentModel, Shapes } from './check.js';
import { deviceOf } from './device.js';
import {
  checkpointFolder,
  lastWeights,
  makeRunFolder,
  type RunName,
  readMetrics,
  readTables,
  readWeights,
  rewriteMetrics,
  runTables,
  sweepRun,
  writeFiles,
  writeMetrics,
  writeWeights,
} from './folder.js';
import { type FoundRun, findSession, newSession, requireSameRun, type Session, wantsMore } from './resume.js';

/** Which part of the data. */
export type Part = 'train' | 'valid' | 'test';

/** What happens in a run, in this order; `step` and `epoch` many times. */
export type RunEvent =
  | {
      readonly event: 'start';
      /** Name of the model. */
      readonly model: string;
      /** Run index. */
      readonly run: number;
      /** The run's seed. */
      readonly seed: number;
      /** Where its files are. */
      readonly folder: string;
      /** Number of all parameters. */
      readonly parameters: number;
      /** What it is trained on, as `accelerator` and `devices` say. */
      readonly device: Device;
    }
  | {
      /** Comes after `start` where a run goes on. */
      readonly event: 'resume';
      /** Its folder. */
      readonly checkpoint: string;
      /** Finished epochs. */
      readonly epochs: number;
      /** Batches of the epoch after them. */
      readonly batches: number;
      /** Why the last bits of results may differ from those of a run that was never stopped. */
      readonly notes: readonly string[];
    }
  | {
      /** In place of all others: the run was finished before. */
      readonly event: 'skip';
      /** Name of the model. */
      readonly model: string;
      /** Run index. */
      readonly run: number;
      /** Where its files are. */
      readonly folder: string;
      /** What was measured then. */
      readonly metrics: Evaluation;
    }
  | ({ readonly event: 'step' } & StepInfo)
  | {
      readonly event: 'epoch';
      /** All epochs. */
      readonly epochs: number;
      /** What was measured in this one. */
      readonly metrics: EpochMetrics;
    }
  | {
      readonly event: 'early-stop';
      /** The last epoch. */
      readonly epoch: number;
    }
  | {
      readonly event: 'evaluation';
      /** What it was measured on. */
      readonly part: Part;
      /** What was measured. */
      readonly metrics: Evaluation;
    }
  | {
      readonly event: 'end';
      /** Where its files are. */
      readonly folder: string;
      /** Whether `signal` has ended it before its last epoch. */
      readonly interrupted: boolean;
      /** Whether there is a checkpoint to go on from. */
      readonly resumable: boolean;
    };

/** Options of `runExperiment`. */
export interface RunOptions {
  /** Where the folders of runs are made. Default 'runs', in the working directory. */
  readonly folder?: string | undefined;
  /**
   * Goes on with the runs that were started together: those that are finished stay, the one that was stopped goes on in
   * its folder, the others are started. The folder of one of them, or true for the last ones of the experiment. Default:
   * all runs are started.
   */
  readonly resume?: boolean | string | undefined;
  /** When it aborts, the current step is finished and what was learned is written. */
  readonly signal?: AbortSignal | undefined;
  /** Called with what happens, while it happens. */
  readonly report?: ((event: RunEvent) => void) | undefined;
}

/** What became of one run. */
export interface RunResult extends RunName {
  /** The run's seed, `bench.seed` plus the run index. */
  readonly seed: number;
  /** Where its files are. */
  readonly folder: string;
  /** Whether `signal` has ended it before its last epoch. */
  readonly interrupted: boolean;
  /** Of the evaluation at the end: `train_acc`, `test_acc`, ..., and `cm`, `ncm` of the last part. */
  readonly metrics: Evaluation;
}

/**
 * Trains and evaluates each enabled model of an experiment, for each run index. Run i begins with the seed
 * `bench.seed + i`. Each run leaves a folder with `config.toml`, `metrics.jsonl`, `weights.safetensors`, `run.json` and
 * checkpoints.
 * @throws ConfigError if weights to be loaded are missing, or the configuration of a run that is to go on has changed;
 * CheckpointError if it cannot go on, or its files cannot be written; DataError for the data; what the network throws
 */
export async function runExperiment(experiment: Experiment, options: RunOptions = {}): Promise<RunResult[]> {
  const root = options.folder ?? 'runs';
  const { resume = false } = options;
  const plan = planOf(experiment);
  const session = resume === false ? newSession(root) : findSession(experiment, plan, root, resume);
  const runs = plan.map((planned): Run => {
    const found = session.find(planned);
    return { ...planned, found, weights: weightsOf(planned, session, found) };
  });
  const data = await experiment.dataset.load();
  const runners = runs.map((run) => new Runner(experiment, data, run, session, options));
  // What is wrong with the last model is told before the first one is trained.
  for (const runner of runners.slice(0, experiment.models.length)) await runner.check();
  const results: RunResult[] = [];
  for (const runner of runners) {
    if (options.signal?.aborted) break;
    results.push(await runner.run());
  }
  return results;
}

interface Planned {
  readonly name: RunName;
  readonly index: number;
  readonly model: ExperimentModel;
  readonly seed: number;
}

interface Run extends Planned {
  /** Where it has begun. */
  readonly found: FoundRun | undefined;
  /** The file to begin with. */
  readonly weights: string | undefined;
}

function planOf({ config, models }: Experiment): Planned[] {
  const { bench } = config;
  const runs = Array.from({ length: bench.last_run - bench.first_run + 1 }, (_, i) => bench.first_run + i);
  return runs.flatMap((run) =>
    models.map((model) => ({
      name: { bench: bench.name, model: model.config.name, run },
      index: config.model.indexOf(model.config),
      model,
      seed: bench.seed + run,
    })),
  );
}

// The checkpoint that training goes on from, also if it is to write none itself.
function lastCheckpoint(folder: string): string | undefined {
  return listCheckpoints(checkpointFolder(folder)).at(-1);
}

function weightsOf(
  { name, index, model }: Planned,
  { root }: Session,
  found: FoundRun | undefined,
): string | undefined {
  if (!model.config.load) return undefined;
  // A checkpoint has the weights that training goes on with.
  if (found && (found.record.finished || lastCheckpoint(found.folder))) return undefined;
  const last = lastWeights(root, name, found?.folder);
  if (last !== undefined) return last;
  throw new ConfigError(
    ['model', index, 'load'],
    `the weights of a former run in ${root}/${name.bench}/${name.model}_r${name.run}`,
    'none',
  );
}

/** The shapes of a model: as configured, else those of the data. */
export function shapesOf(experiment: Experiment, model: ExperimentModel, data: Dataset): Shapes {
  return { ...shapesOfData(experiment, data), ...model.shapes };
}

function shapesOfData({ config }: Experiment, data: Dataset): Shapes {
  const { timeInData } = frameworks.find(config.learningframework.kind, ['learningframework', 'kind']);
  return { inputShape: timeInData ? data.shape.slice(1) : data.shape, outputShape: [data.classes] };
}

/** One run of one model. */
class Runner {
  readonly #experiment: Experiment;
  readonly #data: DataModel;
  readonly #run: Run;
  readonly #session: Session;
  readonly #options: RunOptions;
  // Made by the check, until it is used.
  #network: SNN | null = null;

  constructor(experiment: Experiment, data: DataModel, run: Run, session: Session, options: RunOptions) {
    this.#experiment = experiment;
    this.#data = data;
    this.#run = run;
    this.#session = session;
    this.#options = options;
  }

  /**
   * Finds what can be found before anything is trained or written.
   * @throws ConfigError with its place
   */
  async check(): Promise<void> {
    await this.#located(() => {
      this.#requireShapes();
      this.#device();
      this.#network = this.#build();
      if (this.#trains) checkFit(this.#network, this.#data.train, this.#fitOptions('.'));
    });
  }

  #device(): Device {
    return deviceOf(this.#experiment.config.learningframework.params);
  }

  #build(): SNN {
    const { model, seed } = this.#run;
    manualSeed(seed);
    return model.build(shapesOf(this.#experiment, model, this.#data.train));
  }

  // No epochs are too few for a training that has begun; `fit` tells so.
  get #trains(): boolean {
    const { train, epochs } = this.#run.model.config;
    return train && (epochs > 0 || this.#checkpoint !== undefined);
  }

  // What training goes on from.
  get #checkpoint(): string | undefined {
    const { found } = this.#run;
    return found && lastCheckpoint(found.folder);
  }

  // The shapes that are configured must be those of the data; of the input only the number of values.
  #requireShapes(): void {
    const { model, index } = this.#run;
    const own = shapesOfData(this.#experiment, this.#data.train);
    const { inputShape = own.inputShape, outputShape = own.outputShape } = model.shapes;
    const sizeOf = (shape: readonly number[]): number => shape.reduce((size, length) => size * length, 1);
    const [size, classes] = [sizeOf(own.inputShape), own.outputShape[0]!];
    const wrong = (key: string, expected: string, got: readonly number[]): ConfigError =>
      new ConfigError(['model', index, 'params', key], expected, `[${got.join(', ')}]`);
    if (sizeOf(inputShape) !== size) {
      const expected = `${size} values, as the samples have: [${own.inputShape.join(', ')}]`;
      throw wrong('input_shape', expected, inputShape);
    }
    if (outputShape.length !== 1 || outputShape[0]! < classes) {
      throw wrong('output_shape', `[n], at least the ${classes} classes of the data`, outputShape);
    }
  }

  async run(): Promise<RunResult> {
    const { name, model, seed, weights, found } = this.#run;
    const { config } = model;
    const shapes = shapesOf(this.#experiment, model, this.#data.train);
    const former = found && (await this.#former(found, shapes));
    if (former) return former;
    const network = this.#network ?? this.#build();
    this.#network = null;
    // What comes now does not depend on when the network was made.
    manualSeed(seed);
    if (weights !== undefined) await readWeights(weights, network);
    // Made on the CPU, so that a seed gives the same weights everywhere.
    const device = await this.#located(() => this.#device());
    network.to({ device });
    const folder = await this.#folder(shapes);
    const parameters = countOf(network);
    this.#report({ event: 'start', model: name.model, run: name.run, seed, folder, parameters, device });

    const fitted = this.#trains ? await this.#train(network, folder) : undefined;
    if (config.train || !config.load) await writeWeights(folder, network);
    let interrupted = fitted?.interrupted ?? false;
    let metrics = {} as Evaluation;
    if (config.evaluate && !interrupted) {
      const measured = await this.#evaluate(network, folder);
      interrupted = measured === null;
      if (measured) metrics = measured;
    }
    if (interrupted) writeMetrics(folder, { event: 'interrupted' });
    else await this.#write(folder, shapes, true);
    this.#report({ event: 'end', folder, interrupted, resumable: lastCheckpoint(folder) !== undefined });
    return { ...name, seed, folder, interrupted, metrics };
  }

  #report(event: RunEvent): void {
    this.#options.report?.(event);
  }

  #tables(folder: string, shapes: Shapes): ReturnType<typeof runTables> {
    const { name, model } = this.#run;
    return runTables(folder, this.#experiment, { model: model.config, run: name.run, shapes });
  }

  // The result of a run that is finished; undefined for one that can go on. Throws if it must not.
  async #former({ folder, record }: FoundRun, shapes: Shapes): Promise<RunResult | undefined> {
    const { name, index, seed } = this.#run;
    const [before, now] = [readTables(folder), this.#tables(folder, shapes)];
    try {
      requireSameRun(folder, before, now, index);
    } catch (error) {
      throw error instanceof ConfigError ? await this.#experiment.locate(error) : error;
    }
    if (!record.finished || wantsMore(before, now)) return undefined;
    const last = readMetrics(folder).at(-1);
    const { event, ...metrics } = last?.['event'] === 'evaluation' ? last : { event: '' };
    const result = { ...name, seed, folder, interrupted: false, metrics: metrics as Evaluation };
    this.#report({ event: 'skip', model: name.model, run: name.run, folder, metrics: result.metrics });
    return result;
  }

  async #folder(shapes: Shapes): Promise<string> {
    const { name, found } = this.#run;
    const { root } = this.#session;
    if (!found)
      return await makeRunFolder(root, name, this.#files(join(root, name.bench, 'new'), shapes, false));
    const { folder } = found;
    sweepRun(folder);
    await this.#write(folder, shapes, false);
    if (lastCheckpoint(folder) === undefined) await rewriteMetrics(folder, []);
    return folder;
  }

  async #write(folder: string, shapes: Shapes, finished: boolean): Promise<void> {
    await writeFiles(folder, this.#files(folder, shapes, finished));
  }

  #files(folder: string, shapes: Shapes, finished: boolean): Parameters<typeof writeFiles>[1] {
    const { name, index } = this.#run;
    const record = { session: this.#session.id, model: name.model, index, run: name.run, finished };
    return { tables: this.#tables(folder, shapes), record };
  }

  async #train(network: SNN, folder: string): Promise<FitResult> {
    const result = await this.#located(() => fit(network, this.#data.train, this.#fitOptions(folder)));
    if (result.stoppedEarly) this.#report({ event: 'early-stop', epoch: result.epochs.length });
    return result;
  }

  #fitOptions(folder: string): FitOptions {
    const { bench, learningframework } = this.#experiment.config;
    const { config } = this.#run.model;
    const { epochs, checkpoint = {}, early_stopping: earlyStopping } = config;
    const data = this.#data;
    const last = this.#checkpoint;
    return {
      epochs,
      seed: this.#run.seed,
      signal: this.#options.signal,
      batchSize: config.batch_size,
      optimizer: config.optimizer,
      framework: learningframework,
      validation: bench.use_test_as_valid ? data.test : data.valid,
      accumulateGradBatches: config.accumulate_grad_batches,
      gradientClipVal: config.gradient_clip_val,
      gradientClipAlgorithm: config.gradient_clip_algorithm,
      ...(earlyStopping && { earlyStopping: earlyStopping as EarlyStoppingOptions }),
      ...(checkpoint && { checkpoint: { ...checkpoint, folder: checkpointFolder(folder) } }),
      ...(last !== undefined && { resume: last }),
      onStep: this.#options.report && ((info) => this.#report({ event: 'step', ...info })),
      onEpoch: (metrics) => {
        writeMetrics(folder, { event: 'epoch', ...metrics });
        this.#report({ event: 'epoch', epochs, metrics });
      },
      onResume: async ({ checkpoint, epochs: finished, batches, notes }) => {
        await rewriteMetrics(
          folder,
          finished.map((metrics) => ({ event: 'epoch', ...metrics })),
        );
        this.#report({ event: 'resume', checkpoint, epochs: finished.length, batches, notes });
      },
    };
  }

  // Runs something whose ConfigErrors are about options of `fit` or `evaluate`, or about the model; they get the place
  // that it has in the experiment.
  async #located<T>(fn: () => T | Promise<T>): Promise<T> {
    const own: Readonly<Record<string, ConfigPath>> = {
      framework: ['learningframework'],
      earlyStopping: ['model', this.#run.index, 'early_stopping'],
      epochs: ['model', this.#run.index, 'epochs'],
      optimizer: ['model', this.#run.index, 'optimizer'],
    };
    try {
      return await fn();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const { path, expected, got } = error;
      const [first = '', ...rest] = path;
      throw await this.#experiment.locate(
        new ConfigError([...(own[first] ?? [first]), ...rest], expected, got),
      );
    }
  }

  // Null if it was interrupted.
  async #evaluate(network: SNN, folder: string): Promise<Evaluation | null> {
    const { signal } = this.#options;
    const batchSize = this.#run.model.config.batch_size;
    const framework = this.#experiment.config.learningframework;
    const all = {} as Evaluation;
    for (const part of ['train', 'valid', 'test'] as const) {
      const samples = this.#data[part];
      if (!samples) continue;
      const prefix = part === 'valid' ? 'val_' : `${part}_`;
      try {
        const options = { batchSize, prefix, framework, ...(signal && { signal }) };
        const metrics = await this.#located(() => evaluate(network, samples, options));
        Object.assign(all, metrics);
        this.#report({ event: 'evaluation', part, metrics });
      } catch (error) {
        if (!signal?.aborted || error !== signal.reason) throw error;
        return null;
      }
    }
    writeMetrics(folder, { event: 'evaluation', ...all });
    return all;
  }
}

function countOf(network: SNN): number {
  let count = 0;
  for (const parameter of network.parameters()) count += parameter.numel;
  return count;
}
