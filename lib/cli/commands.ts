import { ConfigError } from '../errors.js';
import {
  type Experiment,
  type ExperimentModel,
  loadRun,
  readExperiment,
  runExperiment,
  type Shapes,
  shapesOf,
} from '../experiment/index.js';
import type { Module } from '../nn/index.js';
import { shown } from '../parameters.js';
import type { SNN } from '../snn.js';
import { isTensor, noGrad, Scope, zeros } from '../tensor/index.js';
import {
  evaluate,
  type Framework,
  type FrameworkClass,
  frameworks,
  predict,
  resolveFramework,
  resolveOptimizer,
} from '../training/index.js';
import { predictMemory } from '../training/memory-model.js';
import { measureMemory } from '../training/step-memory.js';
import { readSamples } from './samples.js';
import type { LayerInfo, Task, WorkerEvent } from './task.js';

type Send = (event: WorkerEvent) => void;
type TaskOf<C extends Task['command']> = Extract<Task, { command: C }>;

// Milliseconds between two steps that the terminal is told of.
const stepInterval = 50;

/** `spikenode train` */
export async function train(task: TaskOf<'train'>, send: Send, signal: AbortSignal): Promise<void> {
  const experiment = await readExperiment(task.file, task.overrides);
  for (const text of experiment.notes) send({ event: 'note', text });
  const { enable_progress_bar: hasBar = true, progress_bar_refresh_rate: rate = 1 } =
    experiment.config.learningframework.params;
  const every = task.steps && hasBar ? Number(rate) : 0;
  let last = 0;
  await runExperiment(experiment, {
    folder: task.folder,
    resume: task.resume,
    signal,
    report: (event) => {
      if (event.event === 'step') {
        if (every === 0) return;
        const now = performance.now();
        const isLast = event.step === event.steps;
        if (!isLast && (now - last < stepInterval || event.step % every !== 0)) return;
        last = now;
      }
      send(event);
      if (event.event === 'end' && event.interrupted && event.resumable) {
        send({ event: 'how-to-resume', command: resumeCommand(task, event.folder) });
      }
    },
  });
}

function resumeCommand({ file, overrides }: TaskOf<'train'>, folder: string): string {
  const quoted = (word: string): string =>
    /^[\w./=:,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  return ['spikenode', 'train', file, ...overrides, '--resume', folder].map(quoted).join(' ');
}

/** `spikenode evaluate` */
export async function evaluateRun(task: TaskOf<'evaluate'>, send: Send, signal: AbortSignal): Promise<void> {
  const { model, config, experiment } = await loadRun(task.run);
  const data = await experiment.dataset.load();
  const part = task.part as 'train' | 'valid' | 'test';
  const samples = data[part];
  if (!samples) {
    const parts = (['train', 'valid', 'test'] as const).filter((name) => data[name]);
    throw new ConfigError(['--part'], `a part of ${data.name}: one of ${parts.join(', ')}`, shown(part));
  }
  const metrics = await evaluate(model, samples, {
    batchSize: config.model[0]!.batch_size,
    prefix: part === 'valid' ? 'val_' : `${part}_`,
    framework: config.learningframework,
    signal,
  });
  send({ event: 'evaluation', part, metrics });
}

/** `spikenode predict` */
export async function predictFile(task: TaskOf<'predict'>, send: Send, signal: AbortSignal): Promise<void> {
  const { model, config, experiment } = await loadRun(task.run);
  const { timeInData } = frameworks.find(config.learningframework.kind, ['learningframework', 'kind']);
  const shape = timeInData ? model.inputShape : model.inputShape.slice(1);
  const x = await readSamples(task.file, shape, experiment.scale);
  const outputs = await predict(model, x, shape, {
    batchSize: config.model[0]!.batch_size,
    framework: config.learningframework,
    signal,
  });
  const [classes = 0] = model.outputShape;
  for (let start = 0; start < outputs.length; start += classes) {
    const own = [...outputs.subarray(start, start + classes)];
    const best = own.reduce((found, value, i) => (value > own[found]! ? i : found), 0);
    send({ event: 'prediction', class: best, outputs: own });
  }
}

/** `spikenode info` */
export async function info(task: TaskOf<'info'>, send: Send): Promise<void> {
  const experiment = await readExperiment(task.file, task.overrides);
  for (const text of experiment.notes) send({ event: 'note', text });
  const shapes = await allShapes(experiment);
  for (const [i, model] of experiment.models.entries()) {
    const network = (await buildModel(experiment, model, shapes[i]!)).eval();
    const { config } = model;
    const framework = frameworkOf(experiment, network);
    const { timeInData } = framework.constructor as FrameworkClass;
    const sample = timeInData ? network.inputShape : network.inputShape.slice(1);
    const layers = layersOf(network, () => {
      framework.forward(network, zeros([1, ...sample]));
    });
    send({
      event: 'model',
      name: config.name,
      kind: config.kind,
      timesteps: network.timesteps,
      inputShape: network.inputShape,
      outputShape: network.outputShape,
      layers,
      parameters: layers.reduce((sum, layer) => sum + layer.parameters, 0),
    });
    if (!task.memory) continue;
    const question = {
      build: () => model.build(shapes[i]!),
      batchSize: config.batch_size,
      framework,
      optimizer: config.train && config.optimizer ? resolveOptimizer(config.optimizer, ['optimizer']) : null,
    };
    send({
      event: 'memory',
      name: config.name,
      batchSize: config.batch_size,
      measured: measureMemory(question),
      predicted: predictMemory(question),
    });
  }
}

async function buildModel(experiment: Experiment, model: ExperimentModel, shapes: Shapes): Promise<SNN> {
  try {
    return model.build(shapes);
  } catch (error) {
    throw error instanceof ConfigError ? await experiment.locate(error) : error;
  }
}

// The data is read only where a model leaves a shape open.
async function allShapes(experiment: Experiment): Promise<Shapes[]> {
  const isWhole = (shapes: ExperimentModel['shapes']): shapes is Shapes =>
    shapes.inputShape !== undefined && shapes.outputShape !== undefined;
  const known = experiment.models.map(({ shapes }) => shapes).filter(isWhole);
  if (known.length === experiment.models.length) return known;
  const { train: samples } = await experiment.dataset.load();
  return experiment.models.map((model) => shapesOf(experiment, model, samples));
}

function frameworkOf({ config }: Experiment, { stepMode }: SNN): Framework {
  return resolveFramework(config.learningframework, stepMode, ['learningframework']).create();
}

// The modules without parts, with the shapes that they give in `run`, and any module with parameters of its own.
function layersOf(network: SNN, run: () => void): LayerInfo[] {
  const shapes = new Map<Module, readonly number[]>();
  const modules = [...network.namedModules()];
  const hooks = modules.map(([, module]) =>
    module.registerForwardHook((_, __, output) => {
      if (isTensor(output)) shapes.set(module, output.shape);
      return undefined;
    }),
  );
  using scope = new Scope();
  scope.run(() => noGrad(run));
  for (const hook of hooks) hook.remove();
  const layers: LayerInfo[] = [];
  const counted = new Set<unknown>();
  for (const [name, module] of modules) {
    const children = new Set([...module.modules()].slice(1).flatMap((child) => [...child.parameters()]));
    let parameters = 0;
    for (const parameter of module.parameters()) {
      if (children.has(parameter) || counted.has(parameter)) continue;
      counted.add(parameter);
      parameters += parameter.numel;
    }
    const isLeaf = [...module.children()].length === 0;
    if (!isLeaf && parameters === 0) continue;
    layers.push({ name, kind: module.constructor.name, shape: shapes.get(module) ?? null, parameters });
  }
  return layers;
}
