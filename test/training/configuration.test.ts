import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkExperiment } from '../../lib/experiment/index.js';
import { Parameter } from '../../lib/nn/index.js';
import { zeros } from '../../lib/tensor/index.js';
import {
  Adam,
  type EpochMetrics,
  type FitOptions,
  fit,
  optimizers,
  ReduceLROnPlateau,
  resolveOptimizer,
  schedulers,
} from '../../lib/training/index.js';
import { network, samples } from './helpers.js';

test('the registries have the classes', () => {
  const names =
    'SGD, Adam, AdamW, NAdam, RAdam, Adamax, Adadelta, Adagrad, RMSprop, Rprop, ASGD, StepLR, MultiStepLR, ConstantLR, LinearLR, ' +
    'ExponentialLR, PolynomialLR, CosineAnnealingLR, CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR, ReduceLROnPlateau, ' +
    'SequentialLR, ChainedScheduler, SinDescent';
  assert.deepEqual([...optimizers.names(), ...schedulers.names()], names.split(', '));
});

test("PyTorch's choices of an implementation are accepted, or refused with a sentence", () => {
  const resolve = (kind: string, params: object): unknown => resolveOptimizer({ kind, params } as never, []);
  for (const kind of optimizers.names()) {
    resolve(kind, { foreach: true, differentiable: false });
    resolve(kind, { foreach: null });
    assert.throws(() => resolve(kind, { differentiable: true }), {
      message: 'params.differentiable: expected false, since steps are not recorded for backward, got true',
    });
  }
  resolve('Adam', { fused: true, capturable: false });
  assert.throws(() => resolve('Adam', { capturable: true }), {
    message: 'params.capturable: expected false, since steps are not captured in CUDA graphs, got true',
  });
  assert.throws(
    () => resolve('Adam', { fused: 'yes' }),
    /params\.fused: expected true or false or null, got "yes"/,
  );
  assert.throws(() => resolve('Rprop', { fused: true }), /params\.fused: expected a known key/);
  assert.equal('foreach' in new Adam([new Parameter(zeros([1]))]).stateDict().param_groups[0]!, false);
});

test('configurations: parameters of parts, metrics and intervals are checked with their places', () => {
  const resolve = (scheduler: object, kind = 'SGD'): unknown =>
    resolveOptimizer({ kind, scheduler } as never, ['optimizer']);
  const wrong = (scheduler: object, message: string, kind?: string): void =>
    assert.throws(() => resolve(scheduler, kind), { name: 'ConfigError', message });
  const exponential = { kind: 'ExponentialLR', params: { gamma: 0.5 } };
  wrong(
    {
      kind: 'SequentialLR',
      params: { milestones: [2], schedulers: [exponential, { kind: 'StepLR', params: {} }] },
    },
    'optimizer.scheduler.params.schedulers.1.params.step_size: expected an integer >= 1, got nothing',
  );
  wrong(
    {
      kind: 'SequentialLR',
      params: { milestones: [2, 1], schedulers: [exponential, exponential, exponential] },
    },
    'optimizer.scheduler.params.milestones.1: expected an integer >= 2, the one before, got 1',
  );
  wrong(
    { kind: 'ChainedScheduler', params: { schedulers: [{ kind: 'ReduceLROnPlateau' }] } },
    'optimizer.scheduler.params.schedulers.0.kind: expected a scheduler that steps without a metric, got "ReduceLROnPlateau"',
  );
  wrong(
    {
      kind: 'ChainedScheduler',
      params: { schedulers: [{ kind: 'CyclicLR', params: { base_lr: 0.1, max_lr: 1 } }] },
    },
    'optimizer.scheduler.params.schedulers.0.params.cycle_momentum: expected false with an optimizer that has neither momentum nor ' +
      'betas, got true',
    'Adagrad',
  );
  wrong(
    { kind: 'OneCycleLR', params: { max_lr: [1, 2], total_steps: 3 } },
    'optimizer.scheduler.params.max_lr: expected a number, or a list with one for the one parameter group, got a list of 2',
  );
  wrong(
    { kind: 'OneCycleLR', params: { max_lr: 1 } },
    'optimizer.scheduler.params.total_steps: expected an integer >= 1, unless there are epochs and steps_per_epoch, got nothing',
  );
  wrong(
    { ...exponential, interval: 'batch' },
    'optimizer.scheduler.interval: expected one of "epoch", "step", got "batch"',
  );
  wrong(
    { kind: 'ReduceLROnPlateau', interval: 'step' },
    'optimizer.scheduler.interval: expected "epoch" for ReduceLROnPlateau, whose metric is that of an epoch, got "step"',
  );
  assert.throws(
    () => resolve({ kind: 'LambdaLR' }),
    /optimizer\.scheduler\.kind: expected a scheduler kind: one of StepLR, /,
  );
});

test('the interval says whether an epoch or a batch is a step', () => {
  for (const interval of ['epoch', 'step'] as const) {
    const config = {
      kind: 'SGD',
      params: { lr: 1 },
      scheduler: { kind: 'ExponentialLR', params: { gamma: 0.5 }, interval },
    };
    const { scheduler } = resolveOptimizer(config, []).create([new Parameter(zeros([1]))]);
    scheduler!.stepBatch();
    scheduler!.stepBatch();
    assert.deepEqual(scheduler!.lastLr, [interval === 'step' ? 0.25 : 1]);
    scheduler!.stepEpoch({});
    assert.deepEqual(scheduler!.lastLr, [interval === 'step' ? 0.25 : 0.5]);
  }
});

async function trained(options: Partial<FitOptions>): Promise<readonly EpochMetrics[]> {
  const { epochs } = await fit(network(), samples(32), { epochs: 4, batchSize: 8, seed: 0, ...options });
  return epochs;
}

test('fit steps a schedule after each epoch, or after each batch', async () => {
  const optimizer = (interval: 'epoch' | 'step'): FitOptions['optimizer'] => ({
    kind: 'SGD',
    params: { lr: 1 },
    scheduler: { kind: 'ExponentialLR', params: { gamma: 0.5 }, interval },
  });
  const lrs = async (interval: 'epoch' | 'step'): Promise<number[]> =>
    (await trained({ optimizer: optimizer(interval) })).map(({ lr }) => lr!);
  assert.deepEqual(await lrs('epoch'), [1, 0.5, 0.25, 0.125]);
  // Four batches an epoch; the rate is that after the epoch's last update.
  assert.deepEqual(
    await lrs('step'),
    [4, 8, 12, 16].map((steps) => 0.5 ** steps),
  );
});

test('fit gives ReduceLROnPlateau the metric that it monitors', async () => {
  const run = async (params: object, validation = false): Promise<readonly EpochMetrics[]> => {
    const scheduler = { kind: 'ReduceLROnPlateau', params: { patience: 0, factor: 0.5, ...params } };
    return trained({
      optimizer: { kind: 'SGD', params: { lr: 1 }, scheduler },
      ...(validation && { validation: samples(16, 2) }),
    });
  };
  for (const [params, validation, name] of [
    [{}, false, 'train_loss'],
    [{}, true, 'val_loss'],
    [{ monitor: 'train_acc', mode: 'max' }, true, 'train_acc'],
    // No loss gets better by that much.
    [{ threshold: 0.99 }, true, 'val_loss'],
  ] as const) {
    const epochs = await run(params, validation);
    const twin = new ReduceLROnPlateau(
      { paramGroups: [{ lr: 1, params: [] }] },
      { patience: 0, factor: 0.5, ...params },
    );
    for (const epoch of epochs) {
      assert.equal(epoch['lr'], twin.lastLr[0]);
      twin.step(epoch[name]);
    }
    if ('threshold' in params)
      assert.deepEqual(
        epochs.map(({ lr }) => lr),
        [1, 1, 0.5, 0.25],
      );
  }
  await assert.rejects(
    run({ monitor: 'val_acc' }),
    /optimizer\.scheduler\.params\.monitor: expected one of train_prec, .*no validation set, got "val_acc"$/,
  );
});

test('the monitored metric of a configuration is known before training', () => {
  const monitor = (scheduler: object): unknown => resolveOptimizer({ kind: 'SGD', scheduler }, []).monitor;
  assert.equal(monitor({ kind: 'ReduceLROnPlateau', params: { monitor: 'val_acc' } }), 'val_acc');
  assert.equal(monitor({ kind: 'ReduceLROnPlateau' }), null);
  assert.equal(monitor({ kind: 'ExponentialLR', params: { gamma: 1 } }), null);
});

const experiment = `[bench]
name = "b"
seed = 0
first_run = 0
last_run = 0
[learningframework]
kind = "SpikingJellyMultiStep"
[dataset]
kind = "Digits"
[[model]]
name = "one"
kind = "SMLP"
params = { units = [8], timesteps = 2, neuron = { kind = "IFNode", params = { step_mode = "m" } } }
[model.optimizer]
kind = "RMSprop"
params = { lr = 5e-3, centered = true, foreach = false }
[model.optimizer.scheduler]
kind = "SequentialLR"
interval = "step"
[model.optimizer.scheduler.params]
milestones = [10]
[[model.optimizer.scheduler.params.schedulers]]
kind = "LinearLR"
params = { total_iters = 10 }
[[model.optimizer.scheduler.params.schedulers]]
kind = "CosineAnnealingLR"
params = { T_max = 20 }
`;

test('an experiment file takes nested schedulers and an interval; errors have their positions', async () => {
  const { models } = await checkExperiment(experiment, 'e.toml', []);
  assert.equal(models[0]!.config.optimizer?.scheduler?.interval, 'step');
  const wrong = async (old: string, text: string, message: string): Promise<void> => {
    assert.ok(experiment.includes(old));
    await assert.rejects(checkExperiment(experiment.replace(old, text), 'e.toml', []), {
      name: 'ConfigError',
      message,
    });
  };
  const at = 'model.0.optimizer.scheduler';
  await wrong(
    'T_max = 20',
    'T_max = 0',
    `e.toml:27:20: ${at}.params.schedulers.1.params.T_max: expected an integer >= 1, got 0`,
  );
  await wrong(
    'kind = "LinearLR"',
    'kind = "LinerLR"',
    `e.toml:23:8: ${at}.params.schedulers.0.kind: expected a scheduler kind: one of ${schedulers.names().join(', ')} (nearest: ` +
      'LinearLR), got "LinerLR"',
  );
  await wrong(
    '"step"',
    '"batch"',
    `e.toml:19:12: ${at}.interval: expected one of "epoch", "step", got "batch"`,
  );
  await wrong(
    'interval',
    'intervall',
    `e.toml:19:1: ${at}.intervall: expected a known key (nearest: interval), got unknown key "intervall"`,
  );
  await wrong(
    'milestones = [10]',
    'milestones = []',
    `e.toml:21:14: ${at}.params.milestones: expected one epoch, one less than schedulers, got 0`,
  );
  await wrong(
    'foreach = false',
    'foreach = 1',
    'e.toml:16:50: model.0.optimizer.params.foreach: expected true or false or null, got 1',
  );
});
