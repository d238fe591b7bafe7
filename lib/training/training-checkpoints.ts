import type { Dataset } from '../data/index.js';
import { CheckpointError, ConfigError } from '../errors.js';
import { resolveParameters, shown } from '../parameters.js';
import { type Device, noGrad, Scope, tidy } from '../tensor/index.js';
import { placementOf } from './batches.js';
import {
  type CheckpointParameters,
  checkpointTable,
  listCheckpoints,
  openFolder,
  readCheckpoint,
  writeCheckpoint,
} from './checkpoint.js';
import type { MeterState } from './evaluate.js';
import type { EpochMetrics, FitOptions, ResumeInfo } from './fit.js';
import type { Framework } from './framework.js';
import {
  brief,
  environment,
  firstDifference,
  harmlessParameters,
  type Plain,
  plain,
  settingsOfData,
  settingsOfModel,
} from './settings.js';
import { capture, type PartsState, restore, type TrainingParts } from './snapshot.js';
import type { FitParameters } from './training.js';

// Of what a checkpoint has and how it is named; another number is refused.
const format = 1;

/** How far a training is, under the names that checkpoints use. */
export interface Progress {
  /** From 1; the one that training is in. */
  readonly epoch: number;
  /** Its batches that are done. */
  readonly batch: number;
  /** Steps of the optimizer since the begin. */
  readonly steps: number;
  readonly order_seed: number;
  /** What the running epoch has measured; null before its first batch. */
  readonly meter: MeterState | null;
  /** What the finished epochs have measured. */
  readonly epochs: readonly EpochMetrics[];
}

interface SavedTraining extends Progress, PartsState {
  readonly format: number;
  readonly settings: Plain;
  readonly environment: Readonly<Record<string, string | number>>;
}

/** A training with what tells it from others. */
export interface BegunTraining extends TrainingParts {
  readonly parameters: FitParameters;
  readonly data: Dataset;
}

/** What a training goes on from. */
export class Resumed {
  readonly progress: Progress;
  readonly info: ResumeInfo;

  constructor(checkpoint: string, saved: SavedTraining, device: Device) {
    this.progress = saved;
    const now = environment(device);
    // A checkpoint of an older version has not all of them.
    const notes = Object.keys(now)
      .filter((name) => Object.hasOwn(saved.environment, name) && saved.environment[name] !== now[name])
      .map(
        (name) =>
          `${name}: ${saved.environment[name]} before, ${now[name]} now; the last bits of results may differ`,
      );
    this.info = { checkpoint, epochs: saved.epochs, batches: saved.batch, notes };
  }

  /** @throws ConfigError if the checkpoint is further than training is to go */
  requireEpochs(epochs: number): void {
    const { epoch, batch } = this.progress;
    const least = batch > 0 ? epoch : epoch - 1;
    if (epochs >= least) return;
    throw new ConfigError(['epochs'], `at least ${least}, where ${this.info.checkpoint} is`, shown(epochs));
  }

  async tell(onResume: FitOptions['onResume']): Promise<void> {
    if (onResume) return await onResume(this.info);
    for (const note of this.info.notes) {
      process.emitWarning(note, { type: 'SpikenodeResumeWarning', code: 'SPIKENODE_RESUMED_ELSEWHERE' });
    }
  }
}

/** The checkpoints of one training. */
export class TrainingCheckpoints {
  readonly #parameters: CheckpointParameters | null;
  /** A path, or whether to look for one. */
  readonly #resume: string | boolean;
  #settings: Plain = null;
  #savedAt = '';
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(parameters: CheckpointParameters | null, resume: string | boolean) {
    this.#parameters = parameters;
    this.#resume = resume;
  }

  /** Null for a training without them. @throws ConfigError */
  static of({ checkpoint, resume = false }: FitOptions): TrainingCheckpoints | null {
    if (typeof resume !== 'string' && typeof resume !== 'boolean') {
      throw new ConfigError(['resume'], 'true, false or the path of a checkpoint', shown(resume));
    }
    if (checkpoint === undefined && resume === true) {
      throw new ConfigError(
        ['resume'],
        'the path of a checkpoint, since checkpoint.folder is not given',
        'true',
      );
    }
    if (checkpoint === undefined && resume === false) return null;
    const parameters = checkpoint
      ? resolveParameters<CheckpointParameters>(checkpointTable, checkpoint, ['checkpoint'])
      : null;
    return new TrainingCheckpoints(parameters, resume);
  }

  isDueAfterStep(steps: number): boolean {
    const every = this.#parameters?.everySteps;
    return every !== undefined && steps % every === 0;
  }

  isDueAfterEpoch(epoch: number): boolean {
    return this.#parameters !== null && epoch % this.#parameters.everyEpochs === 0;
  }

  /**
   * Before the first step: gives the parts what the checkpoint has, if one is to be continued.
   * @throws CheckpointError if it is damaged or belongs to another training; ConfigError if the folder has
   * checkpoints and none is to be continued
   */
  async begin(training: BegunTraining, framework: Framework, options: FitOptions): Promise<Resumed | null> {
    this.#settings = settingsOf(training, framework, options);
    const folder = this.#parameters?.folder;
    if (folder !== undefined) await openFolder(folder);
    const last = folder === undefined ? undefined : listCheckpoints(folder).at(-1);
    if (last !== undefined && this.#resume === false) {
      throw new ConfigError(
        ['checkpoint', 'folder'],
        'a folder without checkpoints, unless resume is given',
        last,
      );
    }
    const path = typeof this.#resume === 'string' ? this.#resume : last;
    if (path === undefined) return null;
    const { state, tensors } = await readCheckpoint(path);
    try {
      const saved = state as unknown as SavedTraining;
      requireSame(path, saved, this.#settings);
      noGrad(() => tidy(() => restore(training, saved, tensors)));
      this.#savedAt = placeOf(saved);
      return new Resumed(path, saved, placementOf(training.model).device);
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof RangeError || error instanceof ConfigError))
        throw error;
      throw new CheckpointError(`${path}: the checkpoint does not fit this training: ${error.message}`);
    } finally {
      for (const value of tensors.values()) value.dispose();
    }
  }

  /**
   * Copies what a checkpoint has and writes it while training goes on, unless the last one is of the same place.
   * @throws CheckpointError if the one before could not be written
   */
  async save(parts: TrainingParts, progress: Progress): Promise<void> {
    const place = placeOf(progress);
    if (this.#parameters === null || place === this.#savedAt) return;
    await this.finish();
    const { folder, keep } = this.#parameters;
    const copies = new Scope();
    const { state, tensors } = copies.run(() =>
      noGrad(() => {
        const now = capture(parts);
        const copied = [...now.tensors].map(([name, value]) => [name, value.clone()] as const);
        return { state: now.state, tensors: new Map(copied) };
      }),
    );
    const { device } = placementOf(parts.model);
    const here = { settings: this.#settings, environment: environment(device) };
    const whole: SavedTraining = { format, ...progress, ...state, ...here };
    const { epoch, steps } = progress;
    this.#savedAt = place;
    this.#writing = writeCheckpoint(folder, { epochs: epoch - 1, steps }, { state: whole, tensors }, keep);
    this.#writing.catch(() => {}).finally(() => copies.dispose());
  }

  /** Waits until the last checkpoint is on the disk. @throws CheckpointError if it could not be written */
  async finish(): Promise<void> {
    await this.#writing;
  }
}

function placeOf({ epoch, batch }: Progress): string {
  return `${epoch} ${batch}`;
}

function requireSame(path: string, saved: SavedTraining, settings: Plain): void {
  if (saved.format !== format) {
    throw new CheckpointError(
      `${path}: expected a checkpoint of format ${format}, got format ${saved.format}`,
    );
  }
  const difference = firstDifference(saved.settings, settings);
  if (!difference) return;
  const { path: place, before, now } = difference;
  throw new CheckpointError(
    `${path}: the checkpoint is of another training: ${place.join('.')} was ${brief(before)}, is ${brief(now)}`,
  );
}

function settingsOf(
  { model, data, parameters }: BegunTraining,
  framework: Framework,
  options: FitOptions,
): Plain {
  const { batchSize, dropLast, seed, accumulateGradBatches } = parameters;
  const { gradientClipVal, gradientClipAlgorithm } = parameters;
  const params = Object.entries(options.framework?.params ?? {}).filter(
    ([name]) => !harmlessParameters.includes(name),
  );
  return {
    ...{ batchSize, dropLast, seed: seed ?? null },
    ...{ accumulateGradBatches, gradientClipVal, gradientClipAlgorithm },
    optimizer: plain(options.optimizer),
    framework: { kind: framework.constructor.name, params: plain(Object.fromEntries(params)) },
    data: settingsOfData(data),
    validation: options.validation ? settingsOfData(options.validation) : null,
    model: tidy(() => settingsOfModel(model)),
  };
}
