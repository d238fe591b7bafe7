import { type DatasetClass, type DatasetSource, datasets } from '../data/index.js';
import { ConfigError, type ConfigPath } from '../errors.js';
import { models } from '../models/index.js';
import { checkValue, integer, list, once, resolveParameters, shown } from '../parameters.js';
import { inConfiguration, resolveNeuron, type SNN, type SNNClass } from '../snn.js';
import { frameworks, requireStepMode, resolveOptimizer } from '../training/index.js';
import { resolveKind } from '../training/kind.js';
import { deviceNotes } from './device.js';
import { type ExperimentConfig, inTemplate, type ModelSection } from './format.js';
import { isPluginFile } from './plugins.js';
import { isTable, type Table, valueAt } from './table.js';

/** Shapes without batch and time steps, channels last. */
export interface Shapes {
  /** `[H, W, C]`, `[S, C]` or `[features]`. */
  readonly inputShape: readonly number[];
  /** `[classes]` for a classifier. */
  readonly outputShape: readonly number[];
}

/** A model of an experiment, checked. */
export interface ExperimentModel {
  /** Its section, with the defaults and the template. */
  readonly config: ModelSection;
  /** The shapes that the configuration gives; what it leaves open comes from the data. */
  readonly shapes: Partial<Shapes>;
  /** @throws ConfigError, which `Experiment.locate` knows the place of */
  build(shapes: Shapes): SNN;
}

/** An experiment whose components exist and take what they are given. Making one does not load libtorch. */
export interface Experiment {
  /** As it was named. */
  readonly file: string;
  /** Its sections, with the defaults. */
  readonly config: ExperimentConfig;
  /** What is accepted but does nothing, each with its path. */
  readonly notes: readonly string[];
  /** The data; nothing is read yet. */
  readonly dataset: DatasetSource;
  /** Values in the data's files are divided by this. */
  readonly scale: number;
  /** Those that are not disabled. */
  readonly models: readonly ExperimentModel[];
  /** The same error with the place in the file, or the override, that it is about. */
  locate(error: ConfigError): Promise<ConfigError>;
}

/**
 * Checks the kinds and parameters of an experiment whose fixed part is right.
 * @param tables what `config` was made from, to tell the template's values from a model's own
 * @throws ConfigError
 */
export function checkComponents(
  config: ExperimentConfig,
  tables: Table,
  file: string,
): Omit<Experiment, 'locate'> {
  refuseSections(config);
  const framework = resolveKind(frameworks, config.learningframework, ['learningframework']).found;
  const { found, params } = resolveKind<DatasetClass>(datasets, config.dataset, ['dataset']);
  const checked = config.model.map((model, i) =>
    inTemplate(tables, () => {
      const path = ['model', i];
      if (model.optimizer) resolveOptimizer(model.optimizer, [...path, 'optimizer']);
      const made = checkModel(model, path);
      const stepMode = stepModeOf(model);
      if (stepMode) requireStepMode(framework, stepMode, ['learningframework', 'kind']);
      return made;
    }),
  );
  return {
    file,
    config,
    notes: notesOf(config),
    dataset: new found(params),
    scale: found.scale ?? 1,
    models: checked.filter(({ config: { disabled } }) => !disabled),
  };
}

// Sections that would change the result; the others only get a note.
const changing: readonly string[] = ['preprocessing', 'data_augmentation', 'postprocessing'];

function refuseSections({ unsupported }: ExperimentConfig): void {
  for (const name of changing) {
    const section = unsupported[name];
    if (Array.isArray(section) && section.length > 0) {
      throw new ConfigError([name], 'no section of this name, which is not supported yet', shown(section));
    }
  }
}

const shapeCheck = once(() => list(integer(1)).min(1));

function checkModel(config: ModelSection, path: ConfigPath): ExperimentModel {
  const modelClass: SNNClass = models.find(config.kind, [...path, 'kind']);
  const { input_shape, output_shape, ...own } = config.params;
  const at = [...path, 'params'];
  const params = resolveParameters<Record<string, unknown>>(modelClass.parameters, own, at);
  inConfiguration(modelClass, at, () => modelClass.checkParameters?.(params));
  const shapes = {
    ...(input_shape !== undefined && {
      inputShape: checkValue(shapeCheck(), input_shape, [...at, 'input_shape']),
    }),
    ...(output_shape !== undefined && {
      outputShape: checkValue(shapeCheck(), output_shape, [...at, 'output_shape']),
    }),
  };
  const build = (all: Shapes): SNN =>
    inConfiguration(modelClass, at, () => new modelClass({ ...params, ...all }));
  return { config, shapes, build };
}

// Undefined where the class alone decides, which only a network that has been made can tell.
function stepModeOf({ params }: ModelSection): 's' | 'm' | undefined {
  const { neuron } = params;
  return isTable(neuron) ? resolveNeuron(neuron, ['neuron']).stepMode : undefined;
}

function notesOf(config: ExperimentConfig): string[] {
  const { bench, learningframework, model, unsupported } = config;
  const notes: string[] = [];
  bench.plugins.forEach((plugin, i) => {
    if (!isPluginFile(plugin)) {
      notes.push(
        `bench.plugins.${i}: ${shown(plugin)} is the name of a Python package; nothing is loaded for it`,
      );
    }
  });
  // Only for a file that was written for the original.
  if (notes.length > 0) {
    notes.push(
      `learningframework.kind: ${shown(learningframework.kind)} says how samples are presented in time; the layers and neurons are spikenode's own`,
    );
  }
  notes.push(...deviceNotes(learningframework.params));
  for (const name of Object.keys(unsupported)) {
    if (!changing.includes(name))
      notes.push(`${name}: this version does not support the section; it is passed over`);
  }
  model.forEach((one, i) => {
    if (one.disabled) return;
    const backend = valueAt(one.params, ['neuron', 'params', 'backend']);
    if (backend !== undefined && backend !== 'torch') {
      notes.push(
        `model.${i}.params.neuron.params.backend: ${shown(backend)} is accepted; every backend means spikenode's own kernels`,
      );
    }
    if (one.update) notes.push(`model.${i}.update: this version does not quantize; it is passed over`);
    if (!one.optimizer && one.train && one.epochs > 0) {
      notes.push(`model.${i}: there is no optimizer, so training does not change the weights`);
    }
  });
  return notes;
}
