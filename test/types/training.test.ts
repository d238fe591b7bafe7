// Training, data and experiments as a user writes them down.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectTypeOf } from 'expect-type';
import {
  Adam,
  ASGD,
  autocast,
  ChainedScheduler,
  type CheckpointError,
  ConfigError,
  ConfusionMatrix,
  CosineAnnealingLR,
  CyclicLR,
  checkExperiment,
  clipGradNorm,
  crossEntropy,
  type DataError,
  type DataModel,
  type Dataset,
  Digits,
  datasets,
  EarlyStopping,
  type EpochMetrics,
  type Evaluation,
  type Experiment,
  ExponentialLR,
  evaluate,
  type FitOptions,
  type FitResult,
  fit,
  GradScaler,
  init,
  LambdaLR,
  Linear,
  type LoadedRun,
  type Loss,
  loadRun,
  loadSafetensors,
  losses,
  MNIST,
  type Module,
  metric,
  type NativeLoadError,
  type OptimizerStateDict,
  type OutOfMemoryError,
  ones,
  type Parameter,
  predict,
  ReduceLROnPlateau,
  type RunEvent,
  type RunResult,
  runExperiment,
  SafetensorsError,
  SequentialLR,
  SGD,
  SMLP,
  type SpikenodeError,
  SpikingJelly,
  type StateDict,
  StepLR,
  saveSafetensors,
  serializeSafetensors,
  type Tensor,
  tensor,
} from '../../lib/index.js';

const linear = new Linear(2, 1);
const net = (): SMLP =>
  new SMLP({
    inputShape: [2],
    outputShape: [2],
    timesteps: 2,
    units: [],
    neuron: { kind: 'IFNode', params: { stepMode: 'm' } },
  });
const data: Dataset = {
  x: new Float32Array(8),
  y: new Int32Array(4),
  shape: [2],
  classes: 2,
  length: 4,
};
const framework = { kind: 'SpikingJellyMultiStep' };

test('optimizers take parameters or groups, and their options', () => {
  const adam = new Adam(linear.parameters(), { lr: 1e-3, betas: [0.9, 0.99], amsgrad: true });
  expectTypeOf(adam.paramGroups[0]!.lr).toEqualTypeOf<number>();
  expectTypeOf(adam.paramGroups[0]!.betas).toEqualTypeOf<readonly [number, number]>();
  expectTypeOf(adam.paramGroups[0]!.params).toEqualTypeOf<readonly Tensor[]>();
  adam.paramGroups[0]!.lr = 1e-4;
  expectTypeOf(adam.step()).toEqualTypeOf<void>();
  expectTypeOf(adam.stateDict()).toEqualTypeOf<OptimizerStateDict>();
  assert.ok(new SGD([{ params: linear.parameters(), lr: 1 }], { lr: 0.1, momentum: 0.9, nesterov: true }));
  // @ts-expect-error an option of another name
  assert.throws(() => new Adam(linear.parameters(), { beta: [0.9, 0.99] }), ConfigError);
  // @ts-expect-error two rates
  assert.throws(() => new Adam(linear.parameters(), { betas: [0.9] }), ConfigError);
  // @ts-expect-error a rate is a number
  assert.throws(() => new SGD(linear.parameters(), { lr: '0.1' }), ConfigError);
  // @ts-expect-error parameters, not a module
  assert.throws(() => new ASGD(linear), TypeError);
  // @ts-expect-error the hyperparameters in code are in camelCase
  assert.equal(adam.paramGroups[0]!.weight_decay, undefined);
});

test('steps run later too', async () => {
  using optimizer = new SGD(linear.parameters(), { lr: 0.1 });
  const done = optimizer.stepAsync();
  expectTypeOf(done).toEqualTypeOf<Promise<void>>();
  await done;
});

test('schedulers', () => {
  const optimizer = new SGD(linear.parameters(), { lr: 0.1, momentum: 0.9 });
  const step = new StepLR(optimizer, { stepSize: 2, gamma: 0.1 });
  expectTypeOf(step.lastLr).toEqualTypeOf<readonly number[]>();
  expectTypeOf(step.interval).toEqualTypeOf<'epoch' | 'step'>();
  expectTypeOf(step.options).toEqualTypeOf<
    Required<{ readonly stepSize: number; readonly gamma?: number }>
  >();
  new ReduceLROnPlateau(optimizer, { mode: 'max', monitor: 'val_acc' }).step(0.5);
  assert.ok(new CosineAnnealingLR(optimizer, { tMax: 3 }));
  assert.ok(new LambdaLR(optimizer, { lrLambda: (epoch) => 0.9 ** epoch }));
  assert.ok(new CyclicLR(optimizer, { baseLr: 0.01, maxLr: 0.1 }));
  const parts = [{ kind: 'ConstantLR' }, { kind: 'ExponentialLR', params: { gamma: 0.9 } }];
  assert.ok(new SequentialLR(optimizer, { schedulers: parts, milestones: [2] }));
  assert.ok(new ChainedScheduler(optimizer, { schedulers: [new ExponentialLR(optimizer, { gamma: 0.9 })] }));
  // @ts-expect-error stepSize is missing
  assert.throws(() => new StepLR(optimizer, {}), ConfigError);
  // @ts-expect-error stepSize is missing with the options
  assert.throws(() => new StepLR(optimizer), ConfigError);
  // @ts-expect-error a word of two
  assert.throws(() => new ReduceLROnPlateau(optimizer, { mode: 'most' }), ConfigError);
  // @ts-expect-error an optimizer comes first
  assert.throws(() => new ExponentialLR(linear, { gamma: 0.9 }), TypeError);
});

test('losses, clipping, scaling', () => {
  const outputs = ones([2, 3]);
  const targets = tensor([0, 1], { dtype: 'int64' });
  expectTypeOf(
    crossEntropy(outputs, targets, { reduction: 'sum', labelSmoothing: 0.1 }),
  ).toEqualTypeOf<Tensor>();
  // @ts-expect-error no such reduction
  assert.throws(() => crossEntropy(outputs, targets, { reduction: 'average' }), Error);
  expectTypeOf(autocast({ dtype: 'bfloat16', device: 'cpu' }, () => outputs)).toEqualTypeOf<Tensor>();
  expectTypeOf(new GradScaler().scale(outputs)).toEqualTypeOf<Tensor>();
  expectTypeOf(clipGradNorm).parameter(1).toEqualTypeOf<number>();
  expectTypeOf(init.kaimingUniform(linear.weight, { mode: 'fan_out' })).toEqualTypeOf<Parameter>();
  // @ts-expect-error no such mode
  assert.throws(() => init.kaimingUniform(linear.weight, { mode: 'fan' }), TypeError);
  const none: Loss = { compute: (x) => x.sum() };
  assert.ok(new SpikingJelly({ loss: none }));
  expectTypeOf(losses.find('mse', [])).toBeConstructibleWith({ reduction: 'mean' });
});

test('fit, evaluate and predict', async () => {
  const model = net();
  const options: FitOptions = {
    epochs: 1,
    batchSize: 2,
    optimizer: {
      kind: 'SGD',
      params: { lr: 0.1 },
      scheduler: { kind: 'StepLR', params: { step_size: 1 }, interval: 'epoch' },
    },
    framework,
    validation: data,
    seed: 1,
    dropLast: false,
    accumulateGradBatches: 1,
    gradientClipVal: 1,
    gradientClipAlgorithm: 'norm',
    earlyStopping: { monitor: 'val_loss', patience: 2 },
    signal: new AbortController().signal,
    onStep: ({ loss, dataWait }) => expectTypeOf([loss, dataWait]).toEqualTypeOf<number[]>(),
    onEpoch: (metrics) => {
      expectTypeOf(metrics).toEqualTypeOf<EpochMetrics>();
    },
  };
  const result = await fit(model, data, options);
  expectTypeOf(result).toEqualTypeOf<FitResult>();
  expectTypeOf(result.epochs).toEqualTypeOf<readonly EpochMetrics[]>();
  const evaluation = await evaluate(model, data, { framework, prefix: 'test_', batchSize: 4 });
  expectTypeOf(evaluation).toEqualTypeOf<Evaluation>();
  expectTypeOf(evaluation.cm).toExtend<readonly (readonly number[])[] | undefined>();
  assert.equal(typeof evaluation['test_acc'], 'number');
  expectTypeOf(await predict(model, data.x, data.shape, { framework })).toEqualTypeOf<Float32Array>();
  // @ts-expect-error epochs are missing
  await assert.rejects(fit(model, data, { framework }), ConfigError);
  // @ts-expect-error an option of another name
  await assert.rejects(fit(model, data, { epochs: 1, batch: 2, framework }), ConfigError);
  // @ts-expect-error an algorithm of two
  await assert.rejects(fit(model, data, { epochs: 1, gradientClipAlgorithm: 'l2', framework }), ConfigError);
  // @ts-expect-error the data come second
  await assert.rejects(fit(model, { epochs: 1 }), Error);
});

test('metrics', () => {
  const matrix = new ConfusionMatrix(2);
  matrix.add([0, 1], [0, 1]);
  expectTypeOf(metric('f1', matrix)).toEqualTypeOf<number>();
  expectTypeOf(metric('f1', matrix, 'none')).toEqualTypeOf<number[]>();
  // @ts-expect-error no such average
  assert.throws(() => metric('f1', matrix, 'mean'), TypeError);
  const stopping = new EarlyStopping({ mode: 'max', monitor: 'val_acc' });
  expectTypeOf(stopping.stops).toEqualTypeOf<boolean>();
});

test('data sets', async () => {
  const loaded = await new Digits({ split: 'ordered' }).load();
  expectTypeOf(loaded).toEqualTypeOf<DataModel>();
  expectTypeOf(loaded.train).toEqualTypeOf<Dataset>();
  expectTypeOf(loaded.test).toEqualTypeOf<Dataset | undefined>();
  expectTypeOf(datasets.names()).toEqualTypeOf<string[]>();
  expectTypeOf<typeof MNIST>().toBeConstructibleWith({ path: 'data' });
  // @ts-expect-error no such split
  assert.throws(() => new Digits({ split: 'random' }), ConfigError);
  // @ts-expect-error an option of another name
  assert.throws(() => new MNIST({ folder: 'data' }), ConfigError);
});

test('weights', () => {
  expectTypeOf(saveSafetensors).returns.toEqualTypeOf<Promise<void>>();
  expectTypeOf(loadSafetensors).returns.toEqualTypeOf<Promise<StateDict>>();
  expectTypeOf(serializeSafetensors(new Map([['x', ones([1])]]))).toEqualTypeOf<Uint8Array>();
  // @ts-expect-error tensors, not a module
  assert.throws(() => serializeSafetensors(linear as Module), TypeError);
  expectTypeOf<SafetensorsError['fault']>().toExtend<string>();
  assert.ok(SafetensorsError);
});

test('experiments', async () => {
  expectTypeOf(checkExperiment).returns.toEqualTypeOf<Promise<Experiment>>();
  expectTypeOf(runExperiment).returns.toExtend<Promise<readonly RunResult[]>>();
  expectTypeOf(loadRun).returns.toEqualTypeOf<Promise<LoadedRun>>();
  const told = (event: RunEvent): string => (event.event === 'start' ? event.folder : event.event);
  expectTypeOf(told).parameter(0).toEqualTypeOf<RunEvent>();
  await assert.rejects(checkExperiment('[bench]\n', 'x.toml'), ConfigError);
  // @ts-expect-error a text, not bytes
  await assert.rejects(checkExperiment(new Uint8Array(1), 'x.toml'), Error);
});

test('all errors have a code', () => {
  expectTypeOf<CheckpointError>().toExtend<SpikenodeError>();
  expectTypeOf<DataError>().toExtend<SpikenodeError>();
  expectTypeOf<NativeLoadError>().toExtend<SpikenodeError>();
  expectTypeOf<OutOfMemoryError>().toExtend<SpikenodeError>();
  expectTypeOf<SafetensorsError>().toExtend<SpikenodeError>();
});
