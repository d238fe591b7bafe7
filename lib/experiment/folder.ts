import { randomUUID } from 'node:crypto';
import { appendFileSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join, relative, resolve, sep } from 'node:path';
import { parse, stringify } from 'smol-toml';
import { z } from 'zod';
import { CheckpointError, ConfigError } from '../errors.js';
import { checkValue, flag, integer, shown, text } from '../parameters.js';
import type { SNN } from '../snn.js';
import { makeFolder, unreadable, unwritable } from '../training/checkpoint.js';
import { replaceFile } from '../training/durable.js';
import { loadSafetensors, saveSafetensors } from '../training/index.js';
import type { Experiment, Shapes } from './check.js';
import { readExperiment } from './experiment.js';
import { type ExperimentConfig, type ModelSection, toTables } from './format.js';
import { isPluginFile, pluginFile } from './plugins.js';
import { isTable, type Table } from './table.js';

// What a run leaves: the configuration that repeats it, a JSON object a line with what was measured, the weights, the
// checkpoints, and what it is a part of and whether it has come to its end.
const configName = 'config.toml';
const metricsName = 'metrics.jsonl';
const weightsName = 'weights.safetensors';
const checkpointsName = 'checkpoints';
const recordName = 'run.json';
// Begins the name of a folder that is being made.
const temporary = '.tmp-';

/** A line of a run's metrics. */
export type MetricsRecord = Readonly<Record<string, unknown>>;

/** A trained network, ready to use. */
export interface LoadedRun {
  /** With the run's weights, in evaluation mode. */
  readonly model: SNN;
  /** Of this run alone: one model, one run. */
  readonly config: ExperimentConfig;
  /** The lines of `metrics.jsonl`. */
  readonly metrics: readonly MetricsRecord[];
  /** The experiment that repeats the run. */
  readonly experiment: Experiment;
}

/** Which run of which model. */
export interface RunName {
  /** `bench.name` of the experiment. */
  readonly bench: string;
  /** Name of the model. */
  readonly model: string;
  /** Run index, from `bench.first_run` to `bench.last_run`. */
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
  const unfinished = join(parent, temporary + randomUUID());
  try {
    makeFolder(unfinished);
    sweep(parent);
    await writeFiles(unfinished, files);
    for (let number = 1; ; number++) {
      const folder = join(parent, numbered(`${model}_r${run}`, number));
      if (renamed(unfinished, folder)) return folder;
    }
  } catch (error) {
    if (existsSync(unfinished)) rmSync(unfinished, { recursive: true, force: true });
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

// How old what a crash has left of the making of a folder is at least; a younger one may be another process's work.
const leftAge = 60_000;

// Removes what crashes have left beside the runs.
function sweep(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(temporary)) continue;
    const path = join(parent, name);
    const { mtimeMs: made } = statSync(path, { throwIfNoEntry: false }) ?? { mtimeMs: Date.now() };
    if (Date.now() - made > leftAge) rmSync(path, { recursive: true, force: true });
  }
}

/** Removes what a crash has left of files that were being written. @throws CheckpointError if that cannot be done */
export function sweepRun(folder: string): void {
  try {
    const left = readdirSync(folder).filter((name) => /\.[0-9a-f-]{36}\.tmp$/.test(name));
    for (const name of left) rmSync(join(folder, name), { force: true });
  } catch (error) {
    throw unwritable(folder, error);
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

const recordCheck: z.ZodType<RunRecord> = z.strictObject({
  session: text(),
  model: text(),
  index: integer(0),
  run: integer(0),
  finished: flag(),
});

/**
 * What a run is a part of; undefined for a folder that is not of a run.
 * @throws CheckpointError if the record cannot be read or is none
 */
export function readRecord(folder: string): RunRecord | undefined {
  const file = join(folder, recordName);
  if (!existsSync(file)) return undefined;
  try {
    return checkValue(recordCheck, JSON.parse(readText(file)), []);
  } catch (error) {
    throw notWhatItWas(file, 'the record', error);
  }
}

/** The configuration that a run has begun with. @throws CheckpointError if there is none */
export function readTables(folder: string): Table {
  const file = join(folder, configName);
  try {
    return parse(readText(file));
  } catch (error) {
    throw notWhatItWas(file, 'the configuration', error);
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable(file, error);
  }
}

function notWhatItWas(file: string, what: string, error: unknown): CheckpointError {
  if (error instanceof CheckpointError) return error;
  // The parser of TOML goes on with a picture of the place.
  const [reason] = (error as Error).message.split('\n', 1);
  return new CheckpointError(`${file}: expected ${what} of a run: ${reason}`);
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

/**
 * Copies weights from a file into a network.
 * @throws SafetensorsError, TypeError, ShapeError; CheckpointError if the file cannot be read
 */
export async function readWeights(file: string, model: SNN): Promise<void> {
  const state = await loadSafetensors(file).catch((error: unknown) => {
    throw unreadable(file, error);
  });
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

/**
 * The lines of a run's metrics. Lines are appended whole, so that one without an end is what a crash or a full disk has
 * left, and no record.
 * @throws CheckpointError for a line that is no JSON object
 */
export function readMetrics(folder: string): MetricsRecord[] {
  const file = join(folder, metricsName);
  if (!existsSync(file)) return [];
  const lines = readText(file).split('\n').slice(0, -1);
  return lines.map((line, i) => {
    const record = parsedLine(line);
    if (isTable(record)) return record;
    throw new CheckpointError(`${file}:${i + 1}: expected a JSON object, got ${shown(line)}`);
  });
}

function parsedLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
