import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, join, relative, resolve, sep } from 'node:path';
import { parse, stringify } from 'smol-toml';
import { CheckpointError, ConfigError } from '../errors.js';
import type { SNN } from '../snn.js';
import { unwritable } from '../training/checkpoint.js';
import { replaceFile } from '../training/durable.js';
import { loadSafetensors, saveSafetensors } from '../training/index.js';
import type { Experiment, Shapes } from './check.js';
import { readExperiment } from './experiment.js';
import { type ExperimentConfig, type ModelSection, toTables } from './format.js';
import { isPluginFile, pluginFile } from './plugins.js';
import type { Table } from './table.js';

// What a run leaves: the configuration that repeats it, a JSON object a line with what was measured, the weights, the
// checkpoints, and what it is a part of and whether it has come to its end.
const configName = 'config.toml';
const metricsName = 'metrics.jsonl';
const weightsName = 'weights.safetensors';
const checkpointsName = 'checkpoints';
const recordName = 'run.json';

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

/** What a run is a part of. */
export interface RunRecord {
  /** The same for all runs that were started together; later ones are greater. */
  readonly session: string;
  readonly model: string;
  /** Place of the model in the experiment. */
  readonly index: number;
  readonly run: number;
  readonly finished: boolean;
}

/** What a run's folder has from the beginning. */
export interface RunFiles {
  /** See `runTables`. */
  readonly tables: Table;
  readonly record: RunRecord;
}

/**
 * Makes a folder for a run, `<root>/<bench>/<model>_r<run>`; if there is one of that name the new one gets a number,
 * `-2`, `-3`, ... A crash leaves it with its files or not at all.
 */
export async function makeRunFolder(
  root: string,
  { bench, model, run }: RunName,
  files: RunFiles,
): Promise<string> {
  const parent = join(root, bench);
  const unfinished = join(parent, `.tmp-${randomUUID()}`);
  try {
    mkdirSync(unfinished, { recursive: true });
    await writeFiles(unfinished, files);
    for (let number = 1; ; number++) {
      const folder = join(parent, numbered(`${model}_r${run}`, number));
      if (renamed(unfinished, folder)) return folder;
    }
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    throw unwritable(parent, error);
  }
}

// False if there is a folder of that name.
function renamed(from: string, to: string): boolean {
  try {
    if (existsSync(to)) return false;
    renameSync(from, to);
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(code)) return false;
    throw error;
  }
}

/** Writes a run's configuration and record anew. @throws CheckpointError if they cannot be written */
export async function writeFiles(folder: string, { tables, record }: RunFiles): Promise<void> {
  try {
    await writeText(join(folder, configName), `${stringify(tables)}\n`);
    await writeText(join(folder, recordName), `${JSON.stringify(record)}\n`);
  } catch (error) {
    throw unwritable(folder, error);
  }
}

/** What a run is a part of; undefined for a folder that is not of a run. */
export function readRecord(folder: string): RunRecord | undefined {
  const file = join(folder, recordName);
  if (!existsSync(file)) return undefined;
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as RunRecord;
  } catch (error) {
    throw new CheckpointError(`${file}: expected the record of a run: ${(error as Error).message}`);
  }
}

/** The configuration that a run has begun with. @throws CheckpointError if there is none */
export function readTables(folder: string): Table {
  const file = join(folder, configName);
  try {
    return parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new CheckpointError(`${file}: expected the configuration of a run: ${(error as Error).message}`);
  }
}

/** Where a run's checkpoints are. */
export function checkpointFolder(folder: string): string {
  return join(folder, checkpointsName);
}

/** The weights of the last run of that name, or undefined; of one before the folder `before`, if it is given. */
export function lastWeights(
  root: string,
  { bench, model, run }: RunName,
  before?: string,
): string | undefined {
  const parent = join(root, bench);
  if (!existsSync(parent)) return undefined;
  const name = `${model}_r${run}`;
  const files: string[] = [];
  for (const entry of readdirSync(parent)) {
    const number = entry === name ? 1 : Number(entry.slice(name.length + 1));
    const file = join(parent, entry, weightsName);
    if (entry === numbered(name, number) && existsSync(file)) files[number] = file;
  }
  const own = before === undefined ? '' : basename(before);
  const end = own === name ? 1 : Number(own.slice(name.length + 1)) || undefined;
  return files.slice(0, end).at(-1);
}

function numbered(name: string, number: number): string {
  return number === 1 ? name : `${name}-${number}`;
}

/** The configuration of one run of one model, as a file in a folder beside `folder` has it. */
export function runTables(
  folder: string,
  { file, config }: Experiment,
  run: { readonly model: ModelSection; readonly run: number; readonly shapes: Shapes },
): Table {
  // Plugins are named relative to the folder.
  const plugins = config.bench.plugins.map((name) =>
    isPluginFile(name) ? relativeModule(folder, pluginFile(name, file)) : name,
  );
  const { inputShape, outputShape } = run.shapes;
  const params = { ...run.model.params, input_shape: inputShape, output_shape: outputShape };
  return toTables({
    ...config,
    bench: { ...config.bench, plugins, first_run: run.run, last_run: run.run },
    model: [{ ...run.model, params }],
  });
}

function relativeModule(folder: string, file: string): string {
  const path = relative(resolve(folder), file).split(sep).join('/');
  return path.startsWith('../') ? path : `./${path}`;
}

/** Appends a line to a run's metrics. @throws CheckpointError if it cannot be written */
export function writeMetrics(folder: string, record: MetricsRecord): void {
  const file = join(folder, metricsName);
  try {
    appendFileSync(file, lineOf(record));
  } catch (error) {
    throw unwritable(file, error);
  }
}

/** Makes these lines a run's metrics. @throws CheckpointError if they cannot be written */
export async function rewriteMetrics(folder: string, records: readonly MetricsRecord[]): Promise<void> {
  const file = join(folder, metricsName);
  try {
    if (records.length > 0) await writeText(file, records.map(lineOf).join(''));
    else rmSync(file, { force: true });
  } catch (error) {
    throw unwritable(file, error);
  }
}

async function writeText(file: string, text: string): Promise<void> {
  await replaceFile(file, (handle) => handle.writeFile(text));
}

function lineOf(record: MetricsRecord): string {
  return `${JSON.stringify(record)}\n`;
}

/**
 * Writes a network's weights; a file that is there stays whole until the new one is.
 * @throws CheckpointError if they cannot be written
 */
export async function writeWeights(folder: string, model: SNN): Promise<void> {
  const file = join(folder, weightsName);
  const state = model.stateDict();
  try {
    await saveSafetensors(file, state);
  } catch (error) {
    throw unwritable(file, error);
  } finally {
    for (const value of Object.values(state)) value.dispose();
  }
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

/** The lines of a run's metrics. */
export function readMetrics(folder: string): MetricsRecord[] {
  const file = join(folder, metricsName);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as MetricsRecord);
}
