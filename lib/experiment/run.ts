import type { DataModel, Dataset } from '../data/index.js';
import { ConfigError } from '../errors.js';
import type { SNN } from '../snn.js';
import { manualSeed } from '../tensor/index.js';
import {
  type EpochMetrics,
  type Evaluation,
  evaluate,
  fit,
  frameworks,
  type StepInfo,
} from '../training/index.js';
import type { Experiment, ExperimentModel, Shapes } from './check.js';
import {
  lastWeights,
  makeRunFolder,
  type RunName,
  readWeights,
  writeConfig,
  writeMetrics,
  writeWeights,
} from './folder.js';

/** Which part of the data. */
export type Part = 'train' | 'valid' | 'test';

/** What happens in a run, in this order; `step` and `epoch` many times. */
export type RunEvent =
  | {
      readonly event: 'start';
      readonly model: string;
      readonly run: number;
      readonly seed: number;
      readonly folder: string;
      /** Number of all parameters. */
      readonly parameters: number;
    }
  | ({ readonly event: 'step' } & StepInfo)
  | { readonly event: 'epoch'; readonly epochs: number; readonly metrics: EpochMetrics }
  | { readonly event: 'evaluation'; readonly part: Part; readonly metrics: Evaluation }
  | { readonly event: 'end'; readonly folder: string; readonly interrupted: boolean };

export interface RunOptions {
  /** Where the folders of runs are made. Default 'runs', in the working directory. */
  readonly folder?: string | undefined;
  /** When it aborts, the current step is finished and what was learned is written. */
  readonly signal?: AbortSignal | undefined;
  readonly report?: ((event: RunEvent) => void) | undefined;
}

export interface RunResult extends RunName {
  readonly seed: number;
  readonly folder: string;
  readonly interrupted: boolean;
  /** Of the evaluation at the end: `train_acc`, `test_acc`, ..., and `cm`, `ncm` of the last part. */
  readonly metrics: Evaluation;
}

/**
 * Trains and evaluates each enabled model of an experiment, for each run index. Run i begins with the seed
 * `bench.seed + i`. Each run leaves a folder with `config.toml`, `metrics.jsonl` and `weights.safetensors`.
 * @throws ConfigError if weights to be loaded are missing; DataError for the data; what the network throws
 */
export async function runExperiment(experiment: Experiment, options: RunOptions = {}): Promise<RunResult[]> {
  const { bench } = experiment.config;
  const root = options.folder ?? 'runs';
  const plan: Run[] = [];
  for (let run = bench.first_run; run <= bench.last_run; run++) {
    for (const model of experiment.models) {
      const name = { bench: bench.name, model: model.config.name, run };
      const weights = model.config.load ? requireWeights(experiment, model, root, name) : undefined;
      plan.push({ name, model, seed: bench.seed + run, weights });
    }
  }
  const data = await experiment.dataset.load();
  const results: RunResult[] = [];
  for (const run of plan) {
    if (options.signal?.aborted) break;
    results.push(await runOne(experiment, data, run, root, options));
  }
  return results;
}

interface Run {
  readonly name: RunName;
  readonly model: ExperimentModel;
  readonly seed: number;
  /** The file to begin with. */
  readonly weights: string | undefined;
}

function requireWeights(
  { config }: Experiment,
  { config: model }: ExperimentModel,
  root: string,
  name: RunName,
): string {
  const found = lastWeights(root, name);
  if (found !== undefined) return found;
  const path = ['model', config.model.indexOf(model), 'load'];
  throw new ConfigError(
    path,
    `the weights of a former run in ${root}/${name.bench}/${name.model}_r${name.run}`,
    'none',
  );
}

/** The shapes of a model: as configured, else those of the data. */
export function shapesOf(experiment: Experiment, model: ExperimentModel, data: Dataset): Shapes {
  const { timeInData } = frameworks.find(experiment.config.learningframework.kind, [
    'learningframework',
    'kind',
  ]);
  const inputShape = timeInData ? data.shape.slice(1) : data.shape;
  return { inputShape, outputShape: [data.classes], ...model.shapes };
}

async function runOne(
  experiment: Experiment,
  data: DataModel,
  { name, model, seed, weights }: Run,
  root: string,
  options: RunOptions,
): Promise<RunResult> {
  const { config } = model;
  const shapes = shapesOf(experiment, model, data.train);
  const { run } = name;
  manualSeed(seed);
  const network = model.build(shapes);
  if (weights !== undefined) await readWeights(weights, network);
  const folder = makeRunFolder(root, name);
  writeConfig(folder, experiment, { model: config, run, shapes });
  options.report?.({ event: 'start', model: name.model, run, seed, folder, parameters: countOf(network) });

  const trained = config.train && config.epochs > 0;
  const fitted = trained
    ? await train(experiment, data, config, network, { folder, seed, options })
    : undefined;
  if (config.train || !config.load) await writeWeights(folder, network);
  let interrupted = fitted?.interrupted ?? false;
  let metrics = {} as Evaluation;
  if (config.evaluate && !interrupted) {
    const found = await evaluateParts(experiment, data, config.batch_size, network, { folder, options });
    interrupted = found === null;
    if (found) metrics = found;
  }
  if (interrupted) writeMetrics(folder, { event: 'interrupted' });
  options.report?.({ event: 'end', folder, interrupted });
  return { ...name, seed, folder, interrupted, metrics };
}

interface Context {
  readonly folder: string;
  readonly options: RunOptions;
}

async function train(
  experiment: Experiment,
  data: DataModel,
  config: ExperimentModel['config'],
  network: SNN,
  { folder, seed, options }: Context & { readonly seed: number },
): ReturnType<typeof fit> {
  const { bench, learningframework } = experiment.config;
  const { epochs } = config;
  const { report, signal } = options;
  return fit(network, data.train, {
    epochs,
    seed,
    signal,
    batchSize: config.batch_size,
    optimizer: config.optimizer,
    framework: learningframework,
    validation: bench.use_test_as_valid ? data.test : data.valid,
    onStep: report && ((info) => report({ event: 'step', ...info })),
    onEpoch: (metrics) => {
      writeMetrics(folder, { event: 'epoch', ...metrics });
      report?.({ event: 'epoch', epochs, metrics });
    },
  });
}

// Null if it was interrupted.
async function evaluateParts(
  { config: { learningframework } }: Experiment,
  data: DataModel,
  batchSize: number,
  network: SNN,
  { folder, options: { report, signal } }: Context,
): Promise<Evaluation | null> {
  const all = {} as Evaluation;
  for (const part of ['train', 'valid', 'test'] as const) {
    const samples = data[part];
    if (!samples) continue;
    const prefix = part === 'valid' ? 'val_' : `${part}_`;
    try {
      const options = { batchSize, prefix, framework: learningframework, ...(signal && { signal }) };
      const metrics = await evaluate(network, samples, options);
      Object.assign(all, metrics);
      report?.({ event: 'evaluation', part, metrics });
    } catch (error) {
      if (!signal?.aborted || error !== signal.reason) throw error;
      return null;
    }
  }
  writeMetrics(folder, { event: 'evaluation', ...all });
  return all;
}

function countOf(network: SNN): number {
  let count = 0;
  for (const parameter of network.parameters()) count += parameter.numel;
  return count;
}
