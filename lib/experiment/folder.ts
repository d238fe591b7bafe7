import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { stringify } from 'smol-toml';
import { ConfigError } from '../errors.js';
import type { SNN } from '../snn.js';
import { loadSafetensors, saveSafetensors } from '../training/index.js';
import type { Experiment, Shapes } from './check.js';
import { readExperiment } from './experiment.js';
import { type ExperimentConfig, type ModelSection, toTables } from './format.js';
import { isPluginFile, pluginFile } from './plugins.js';

// What a run leaves: the configuration that repeats it, a JSON object a line with what was measured, the weights.
const configName = 'config.toml';
const metricsName = 'metrics.jsonl';
const weightsName = 'weights.safetensors';

/** A line of a run's metrics. */
export type MetricsRecord = Readonly<Record<string, unknown>>;

/** A trained network, ready to use. */
export interface LoadedRun {
  /** With the run's weights, in evaluation mode. */
  readonly model: SNN;
  readonly config: ExperimentConfig;
  readonly metrics: readonly MetricsRecord[];
  readonly experiment: Experiment;
}

/** Which run of which model. */
export interface RunName {
  readonly bench: string;
  readonly model: string;
  readonly run: number;
}

/**
 * Makes a folder for a run, `<root>/<bench>/<model>_r<run>`; if there is one of that name the new one gets a number,
 * `-2`, `-3`, ...
 */
export function makeRunFolder(root: string, { bench, model, run }: RunName): string {
  const parent = join(root, bench);
  mkdirSync(parent, { recursive: true });
  for (let number = 1; ; number++) {
    const folder = join(parent, numbered(`${model}_r${run}`, number));
    try {
      mkdirSync(folder);
      return folder;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** The weights of the last run of that name, or undefined. */
export function lastWeights(root: string, { bench, model, run }: RunName): string | undefined {
  const parent = join(root, bench);
  if (!existsSync(parent)) return undefined;
  const name = `${model}_r${run}`;
  const files: string[] = [];
  for (const entry of readdirSync(parent)) {
    const number = entry === name ? 1 : Number(entry.slice(name.length + 1));
    const file = join(parent, entry, weightsName);
    if (entry === numbered(name, number) && existsSync(file)) files[number] = file;
  }
  return files.at(-1);
}

function numbered(name: string, number: number): string {
  return number === 1 ? name : `${name}-${number}`;
}

/** Writes the configuration of one run of one model. Plugins are named relative to the folder. */
export function writeConfig(
  folder: string,
  { file, config }: Experiment,
  run: { readonly model: ModelSection; readonly run: number; readonly shapes: Shapes },
): void {
  const plugins = config.bench.plugins.map((name) =>
    isPluginFile(name) ? relativeModule(folder, pluginFile(name, file)) : name,
  );
  const { inputShape, outputShape } = run.shapes;
  const params = { ...run.model.params, input_shape: inputShape, output_shape: outputShape };
  const tables = toTables({
    ...config,
    bench: { ...config.bench, plugins, first_run: run.run, last_run: run.run },
    model: [{ ...run.model, params }],
  });
  writeFileSync(join(folder, configName), `${stringify(tables)}\n`);
}

function relativeModule(folder: string, file: string): string {
  const path = relative(resolve(folder), file).split(sep).join('/');
  return path.startsWith('../') ? path : `./${path}`;
}

/** Appends a line to a run's metrics. */
export function writeMetrics(folder: string, record: MetricsRecord): void {
  writeFileSync(join(folder, metricsName), `${JSON.stringify(record)}\n`, { flag: 'a' });
}

/** Writes a network's weights; a file that is there stays whole until the new one is. */
export async function writeWeights(folder: string, model: SNN): Promise<void> {
  await saveSafetensors(join(folder, weightsName), model.stateDict());
}

/** Copies weights from a file into a network. @throws SafetensorsError, TypeError, ShapeError */
export async function readWeights(file: string, model: SNN): Promise<void> {
  const state = await loadSafetensors(file);
  try {
    model.loadStateDict(state);
  } finally {
    for (const value of Object.values(state)) value.dispose();
  }
}

/**
 * Opens the folder of a run. The user's modules that the run used are imported.
 * @throws ConfigError if it is not such a folder; SafetensorsError, TypeError or ShapeError for weights that do not fit
 */
export async function loadRun(folder: string): Promise<LoadedRun> {
  for (const name of [configName, weightsName]) {
    if (!existsSync(join(folder, name))) {
      throw new ConfigError(
        [folder],
        `the folder of a run, with ${configName} and ${weightsName}`,
        `none with ${name}`,
      );
    }
  }
  const experiment = await readExperiment(join(folder, configName));
  const [first] = experiment.models;
  const { inputShape, outputShape } = first?.shapes ?? {};
  if (!first || !inputShape || !outputShape) {
    throw new ConfigError([folder], 'a model with input_shape and output_shape in its configuration', 'none');
  }
  const model = first.build({ inputShape, outputShape });
  await readWeights(join(folder, weightsName), model);
  model.eval();
  return { model, config: experiment.config, metrics: readMetrics(folder), experiment };
}

function readMetrics(folder: string): MetricsRecord[] {
  const file = join(folder, metricsName);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as MetricsRecord);
}
