import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, ShapeError } from '../../lib/errors.js';
import type { Module } from '../../lib/nn/index.js';
import { crossEntropyLoss, memory, noGrad, tensor, tidy } from '../../lib/tensor/index.js';
import {
  type EpochMetrics,
  epochOrder,
  evaluate,
  type FitOptions,
  fit,
  SGD,
  SpikingJellyMultiStep,
  type StepInfo,
} from '../../lib/training/index.js';
import { collectGarbage, largestDifference } from '../tensor/helpers.js';
import { network, samples, weightsOf } from './helpers.js';

const adam = { kind: 'Adam', params: { lr: 0.01 } };

test('a network learns, in both step modes and with both losses', async () => {
  for (const stepMode of ['s', 'm'] as const) {
    for (const loss of ['crossentropy', 'mse']) {
      const model = network(stepMode);
      const options = { optimizer: adam, framework: { params: { loss } }, seed: 0 };
      const { epochs } = await fit(model, samples(200), { ...options, epochs: 8 });
      const first = epochs[0]!;
      const last = epochs[7]!;
      assert.ok(
        last['train_loss']! < 0.6 * first['train_loss']!,
        JSON.stringify([stepMode, loss, first, last]),
      );
      const { acc } = await evaluate(model, samples(100, 2));
      assert.ok(acc! > 0.85, `${stepMode} ${loss}: ${acc}`);
    }
  }
});

test('training is the loop that one writes by hand, bit for bit', async () => {
  const data = samples(50);
  const [model, other] = [network(), network()];
  const sgd = { lr: 0.1, momentum: 0.9 };
  const { epochs } = await fit(model, data, {
    epochs: 3,
    batchSize: 16,
    seed: 7,
    optimizer: {
      kind: 'SGD',
      params: sgd,
      scheduler: { kind: 'StepLR', params: { step_size: 1, gamma: 0.5 } },
    },
  });
  const optimizer = new SGD(other.parameters(), sgd);
  const framework = new SpikingJellyMultiStep();
  const losses: number[] = [];
  for (let epoch = 1; epoch <= 3; epoch++) {
    const order = [...epochOrder(50, 7, epoch)];
    let sum = 0;
    for (let start = 0; start < 50; start += 16) {
      const batch = order.slice(start, start + 16);
      tidy(() => {
        optimizer.zeroGrad();
        const x = tensor(batch.map((i) => [...data.x.subarray(i * 4, i * 4 + 4)].map((value) => [value])));
        const y = tensor(batch.map((i) => BigInt(data.y[i]!)));
        const loss = crossEntropyLoss(framework.forward(other, x), y);
        loss.backward();
        optimizer.step();
        sum += (loss.item() as number) * batch.length;
      });
    }
    losses.push(sum / 50);
    optimizer.paramGroups[0]!.lr /= 2;
  }
  assert.deepEqual(weightsOf(model), weightsOf(other));
  assert.deepEqual(
    epochs.map((own) => own['train_loss']),
    losses,
  );
  assert.deepEqual(
    epochs.map(({ epoch, lr }) => [epoch, lr]),
    [
      [1, 0.1],
      [2, 0.05],
      [3, 0.025],
    ],
  );
});

test('both step modes learn the same in float64', async () => {
  const weights: number[][] = [];
  for (const stepMode of ['s', 'm'] as const) {
    const model = network(stepMode).to('float64');
    await fit(model, samples(64), { epochs: 2, seed: 1, optimizer: adam });
    weights.push(weightsOf(model));
  }
  assert.ok(largestDifference(weights[0]!, weights[1]!) < 1e-9);
});

test('the same seed gives the same training, another one another', async () => {
  const trained = async (seed?: number): Promise<number[]> => {
    const model = network();
    await fit(model, samples(64), { epochs: 2, optimizer: adam, ...(seed === undefined ? {} : { seed }) });
    return weightsOf(model);
  };
  const first = await trained(3);
  assert.deepEqual(await trained(3), first);
  assert.notDeepEqual(await trained(4), first);
  // Without a seed libtorch's generator decides, which network() has seeded.
  assert.deepEqual(await trained(), await trained());
});

test('the order of the samples depends on seed and epoch', () => {
  const order = (seed: number, epoch: number): string => epochOrder(100, seed, epoch).join();
  assert.equal(order(1, 2), order(1, 2));
  assert.equal(new Set([order(1, 1), order(1, 2), order(2, 1), order(0, 3), order(0, 2)]).size, 5);
  assert.deepEqual(
    [...epochOrder(100, 5, 1)].sort((a, b) => a - b),
    [...Array(100).keys()],
  );
});

test('hundreds of steps leave tensors and bytes flat, and fit gives everything back', async () => {
  await collectGarbage();
  const model = network();
  const data = samples(64);
  await evaluate(model, data);
  const start = memory();
  const seen: string[] = [];
  const onStep = ({ step }: StepInfo): void => {
    if (step === 8) seen.push(`${memory().tensors} ${memory().bytes}`);
  };
  await fit(model, data, { epochs: 50, batchSize: 8, optimizer: adam, validation: data, onStep });
  assert.equal(seen.length, 50);
  assert.deepEqual(new Set(seen.slice(1)).size, 1, seen.join('; '));
  await evaluate(model, data);
  assert.equal(memory().tensors, start.tensors);
  assert.equal(memory().bytes, start.bytes);
  assert.ok([...model.parameters()].every((parameter) => parameter.grad === null));
});

test('each step takes a real turn of the event loop', async () => {
  let turns = 0;
  let running = true;
  const count = (): void => {
    turns += 1;
    if (running) setImmediate(count);
  };
  setImmediate(count);
  let steps = 0;
  await fit(network(), samples(40), { epochs: 2, batchSize: 8, onStep: () => void steps++ });
  running = false;
  assert.equal(steps, 10);
  assert.ok(turns >= steps, `${turns} turns`);
});

test('the last batch is kept, or dropped; progress counts from 1', async () => {
  const steps = async (options: Partial<FitOptions>): Promise<StepInfo[]> => {
    const seen: StepInfo[] = [];
    const onStep = (info: StepInfo): void => void seen.push(info);
    await fit(network(), samples(20), { epochs: 2, batchSize: 8, optimizer: adam, onStep, ...options });
    return seen;
  };
  const kept = await steps({});
  assert.deepEqual(
    kept.map(({ epoch, epochs, step, steps: all }) => [epoch, epochs, step, all]),
    [1, 2].flatMap((epoch) => [1, 2, 3].map((step) => [epoch, 2, step, 3])),
  );
  assert.ok(kept.every(({ loss }) => loss > 0));
  assert.deepEqual(
    (await steps({ dropLast: true })).map(({ step, steps: all }) => [step, all]),
    [
      [1, 2],
      [2, 2],
      [1, 2],
      [2, 2],
    ],
  );
});

test('epochs: 0 and no optimizer leave the weights', async () => {
  const model = network();
  const before = weightsOf(model);
  assert.deepEqual(await fit(model, samples(20), { epochs: 0, optimizer: adam }), {
    epochs: [],
    interrupted: false,
  });
  const { epochs } = await fit(model, samples(20), { epochs: 1, validation: samples(10, 2) });
  assert.deepEqual(weightsOf(model), before);
  const names = ['loss', 'prec', 'rec', 'f1', 'acc', 'avgclsacc'];
  assert.deepEqual(Object.keys(epochs[0]!), [
    'epoch',
    ...names.map((name) => `train_${name}`),
    ...names.map((name) => `val_${name}`),
  ]);
  const { epochs: unmeasured } = await fit(model, samples(20), {
    epochs: 1,
    framework: { params: { loss: null, metrics: ['acc'] } },
  });
  assert.deepEqual(Object.keys(unmeasured[0]!), ['epoch', 'train_acc']);
});

test('validation is what evaluate gives after the epoch', async () => {
  const model = network();
  const validation = samples(33, 2);
  const seen: EpochMetrics[] = [];
  const onEpoch = async (metrics: EpochMetrics): Promise<void> => {
    const { cm, ncm, avg_class_accuracy, ...own } = await evaluate(model, validation, { prefix: 'val_' });
    for (const [name, value] of Object.entries(own)) assert.equal(metrics[name], value, name);
    assert.ok(!('cm' in metrics) && !('ncm' in metrics) && !('avg_class_accuracy' in metrics));
    seen.push(metrics);
  };
  const { epochs } = await fit(model, samples(64), { epochs: 2, optimizer: adam, validation, onEpoch });
  assert.deepEqual(seen, epochs);
});

test('an abort finishes the step and says so', async () => {
  const model = network();
  const before = weightsOf(model);
  const none = await fit(model, samples(40), { epochs: 2, optimizer: adam, signal: AbortSignal.abort() });
  assert.deepEqual(none, { epochs: [], interrupted: true });
  assert.deepEqual(weightsOf(model), before);

  const controller = new AbortController();
  let steps = 0;
  const onStep = ({ epoch, step }: StepInfo): void => {
    steps += 1;
    if (epoch === 2 && step === 2) controller.abort();
  };
  const options = { batchSize: 10, optimizer: adam, signal: controller.signal, onStep };
  const result = await fit(model, samples(40), { epochs: 5, ...options });
  assert.deepEqual([result.interrupted, result.epochs.length, steps], [true, 1, 6]);
  assert.notDeepEqual(weightsOf(model), before);
});

test('an abort in the validation keeps the epoch, without its validation', async () => {
  const controller = new AbortController();
  const model = network();
  let isValidation = false;
  let batches = 0;
  model.registerForwardHook((own) => {
    if ((own as Module).training || isValidation) return;
    isValidation = true;
    batches += 1;
    controller.abort();
  });
  const options = { optimizer: adam, validation: samples(100, 2), batchSize: 10, signal: controller.signal };
  const result = await fit(model, samples(40), { epochs: 3, ...options });
  assert.deepEqual([result.interrupted, result.epochs.length, batches], [true, 1, 1]);
  assert.ok('train_acc' in result.epochs[0]! && !('val_acc' in result.epochs[0]!));
  assert.equal(model.training, true);
});

test('an abort in the last turn of onEpoch loses nothing', async () => {
  const controller = new AbortController();
  const onEpoch = ({ epoch }: EpochMetrics): void => {
    if (epoch === 2) controller.abort();
  };
  const options = { optimizer: adam, signal: controller.signal, onEpoch };
  const result = await fit(network(), samples(40), { epochs: 2, ...options });
  assert.deepEqual([result.interrupted, result.epochs.length], [false, 2]);
});

test('accumulated batches have the gradient of one large batch, in the last step too', async () => {
  const weights: number[][] = [];
  const data = samples(45);
  for (const [batchSize, accumulateGradBatches] of [
    [20, 1],
    [5, 4],
    [10, 2],
    [4, 5],
  ] as const) {
    const model = network().to('float64');
    const optimizer = { kind: 'SGD', params: { lr: 0.5, momentum: 0.9 } };
    const options = { epochs: 3, seed: 1, batchSize, accumulateGradBatches, optimizer };
    const { epochs } = await fit(model, data, options);
    weights.push([...weightsOf(model), ...epochs.map((own) => own['train_loss']!)]);
  }
  for (const other of weights.slice(1)) assert.ok(largestDifference(weights[0]!, other) < 1e-9);
  // Batches of unequal size in one step: 7 + 7 + 6 samples count each the same.
  const [uneven, whole] = [network().to('float64'), network().to('float64')];
  const sgd = { kind: 'SGD', params: { lr: 0.5 } };
  await fit(uneven, samples(20), {
    epochs: 2,
    seed: 1,
    batchSize: 7,
    accumulateGradBatches: 3,
    optimizer: sgd,
  });
  await fit(whole, samples(20), { epochs: 2, seed: 1, batchSize: 20, optimizer: sgd });
  assert.ok(largestDifference(weightsOf(uneven), weightsOf(whole)) < 1e-9);
});

test('accumulated batches are one large batch for a weighted and for a summed loss too', async () => {
  const sgd = { kind: 'SGD', params: { lr: 0.05 } };
  for (const params of [{ weight: [1, 5, 0.5] }, { reduction: 'sum' }]) {
    const framework = { params: { loss: { kind: 'crossentropy', params } } };
    const [parts, whole] = [network().to('float64'), network().to('float64')];
    const own = { epochs: 2, seed: 1, optimizer: sgd, framework };
    await fit(parts, samples(33), { ...own, batchSize: 5, accumulateGradBatches: 4 });
    await fit(whole, samples(33), { ...own, batchSize: 20 });
    assert.ok(largestDifference(weightsOf(parts), weightsOf(whole)) < 1e-9, JSON.stringify(params));
  }
});

test('gradients are clipped by their norm or each by itself, before the step', async () => {
  const changes = async (options: Partial<FitOptions>): Promise<number[]> => {
    const model = network();
    const before = weightsOf(model);
    const optimizer = { kind: 'SGD', params: { lr: 1 } };
    await fit(model, samples(32), { epochs: 1, seed: 0, batchSize: 32, optimizer, ...options });
    return weightsOf(model).map((value, i) => before[i]! - value);
  };
  const norm = (values: readonly number[]): number => Math.hypot(...values);
  const free = await changes({});
  const clipped = await changes({ gradientClipVal: norm(free) / 4 });
  assert.ok(Math.abs(norm(clipped) / norm(free) - 1 / 4) < 1e-4);
  assert.ok(
    largestDifference(
      clipped.map((value) => 4 * value),
      free,
    ) < 1e-5,
  );
  const limit = Math.max(...free.map(Math.abs)) / 2;
  const clamped = await changes({ gradientClipVal: limit, gradientClipAlgorithm: 'value' });
  const expected = free.map((value) => Math.min(limit, Math.max(-limit, value)));
  assert.ok(largestDifference(clamped, expected) < 1e-6);
  assert.deepEqual(await changes({ gradientClipVal: 2 * norm(free) }), free);
});

test('early stopping ends training after epochs without a better value', async () => {
  const scheduler = { kind: 'StepLR', params: { step_size: 4, gamma: 100 } };
  const run = (earlyStopping: object): ReturnType<typeof fit> =>
    fit(network(), samples(100), {
      epochs: 12,
      seed: 0,
      validation: samples(50, 2),
      optimizer: { ...adam, scheduler },
      earlyStopping,
    });
  for (const { patience, ...own } of [
    { patience: 2 },
    { patience: 3, monitor: 'val_acc', mode: 'max' },
    { patience: 1, min_delta: 0.3 },
  ] as { patience: number; monitor?: string; mode?: string; min_delta?: number }[]) {
    const { epochs, stoppedEarly, interrupted } = await run({ patience, ...own });
    assert.deepEqual([stoppedEarly, interrupted], [true, false]);
    const values = epochs.map(
      (metrics) => metrics[own.monitor ?? 'val_loss']! * (own.mode === 'max' ? -1 : 1),
    );
    let best = Number.POSITIVE_INFINITY;
    let waited = 0;
    const ends = values.map((value) => {
      waited = value < best - (own.min_delta ?? 0) ? 0 : waited + 1;
      if (waited === 0) best = value;
      return waited >= patience;
    });
    assert.equal(ends.indexOf(true), epochs.length - 1, values.join());
    assert.ok(epochs.length < 12);
  }
  const all = await run({ patience: 12 });
  assert.deepEqual([all.epochs.length, all.stoppedEarly], [12, undefined]);
});

test('use_best_epoch ends with the weights of the best epoch', async () => {
  const model = network();
  const validation = samples(50, 2);
  const params = { use_best_epoch: true, checkpoint_metric: { name: 'val_loss', mode: 'min' } };
  // A rate that grows tenfold spoils what was learned before.
  const scheduler = { kind: 'StepLR', params: { step_size: 4, gamma: 100 } };
  const kept: number[][] = [];
  const { epochs, bestEpoch } = await fit(model, samples(100), {
    epochs: 8,
    seed: 0,
    validation,
    optimizer: { ...adam, scheduler },
    framework: { params },
    onEpoch: () => void kept.push(weightsOf(model)),
  });
  const losses = epochs.map((own) => own['val_loss']!);
  assert.equal(bestEpoch, losses.indexOf(Math.min(...losses)) + 1);
  assert.ok(bestEpoch! > 1 && bestEpoch! < 8, losses.join());
  assert.deepEqual(weightsOf(model), kept[bestEpoch! - 1]);
});

test('modes: training while it trains, evaluation while it validates, and as before afterwards', async () => {
  const model = network();
  const seen = new Set<string>();
  model.registerForwardHook((own) => void seen.add(String((own as Module).training)));
  model.layers.get('fc1')!.eval();
  await fit(model, samples(20), { epochs: 1, optimizer: adam });
  assert.deepEqual([...seen], ['true']);
  seen.clear();
  await evaluate(model, samples(20));
  assert.deepEqual([...seen], ['false']);
  assert.deepEqual([model.training, model.layers.get('fc1')!.training], [true, false]);
});

test('an error of a callback comes out, and leaves nothing behind', async () => {
  const model = network();
  const data = samples(40);
  await evaluate(model, data);
  await collectGarbage();
  const before = memory().tensors;
  const onStep = (): void => {
    throw new Error('mine');
  };
  await assert.rejects(fit(model, data, { epochs: 1, optimizer: adam, onStep }), /mine/);
  const onEpoch = async (): Promise<void> => Promise.reject(new Error('mine too'));
  await assert.rejects(fit(model, data, { epochs: 1, optimizer: adam, onEpoch }), /mine too/);
  await evaluate(model, data);
  assert.equal(memory().tensors, before);
  assert.equal(model.training, true);
});

test('wrong options are ConfigErrors with their place', async () => {
  const data = samples(20);
  const wrong = async (options: object, place: string, text: RegExp): Promise<void> =>
    assert.rejects(fit(network(), data, { epochs: 1, ...options }), (error: unknown) => {
      assert.ok(error instanceof ConfigError, String(error));
      assert.equal(error.path.join('.'), place);
      assert.match(error.message, text);
      return true;
    });
  await wrong({ epochs: -1 }, 'epochs', /an integer >= 0/);
  await wrong({ epoch: 3 }, 'epoch', /nearest: epochs/);
  await wrong({ batchSize: 0 }, 'batchSize', /an integer >= 1/);
  await wrong({ optimizer: { kind: 'Adam', params: { lr: 'x' } } }, 'optimizer.params.lr', /a number >= 0/);
  await wrong({ framework: { kind: 'SpikingJelly' } }, 'framework.kind', /step_mode is "m"/);
  await wrong({ framework: { params: { loss: null } }, optimizer: adam }, 'framework.params.loss', /a loss/);
  await wrong({ dropLast: true, batchSize: 21 }, 'batchSize', /at most 20/);
  await wrong({ accumulateGradBatches: 0 }, 'accumulateGradBatches', /an integer >= 1/);
  await wrong({ gradientClipVal: -1 }, 'gradientClipVal', /a number >= 0/);
  await wrong({ gradientClipAlgorithm: 'l1' }, 'gradientClipAlgorithm', /one of "norm", "value"/);
  await wrong({ earlyStopping: { patience: 0 } }, 'earlyStopping.patience', /an integer >= 1/);
  await wrong({ earlyStopping: {} }, 'earlyStopping.monitor', /one of train_prec, .*no validation set/);
  const plateau = (monitor: string): object => ({
    optimizer: { kind: 'SGD', scheduler: { kind: 'ReduceLROnPlateau', params: { monitor } } },
    onStep: () => assert.fail('a step was done'),
  });
  const place = 'optimizer.scheduler.params.monitor';
  await wrong(plateau('train_los'), place, /one of train_prec, .*train_loss, got "train_los"$/);
  await wrong(plateau('val_loss'), place, /no validation set, got "val_loss"$/);
  const best = { params: { use_best_epoch: true } };
  await wrong({ framework: best }, 'framework.params.checkpoint_metric.name', /no validation set/);
});

test('data that does not fit is a ShapeError', async () => {
  const data = samples(20);
  const wrong = async (own: typeof data, text: RegExp): Promise<void> =>
    assert.rejects(
      fit(network(), own, { epochs: 1, optimizer: adam }),
      (error: unknown) => error instanceof ShapeError && text.test(error.message),
    );
  await wrong({ ...data, length: 0 }, /at least one sample/);
  await wrong({ ...data, length: 19 }, /19 samples of shape \[4,1\] are 76 values/);
  await wrong({ ...data, y: Int32Array.from(data.y, () => 3) }, /classes from 0 to 2, got 3 for sample 0/);
  await wrong({ ...data, classes: 4 }, /4 classes, the network only 3 outputs/);
  const options = { epochs: 1, validation: { ...data, length: 5 } };
  await assert.rejects(fit(network(), data, options), /validation/);
});

test('gradients may be switched off around fit', async () => {
  // fit decides for itself: an async function starts inside the caller's noGrad.
  const model = network();
  const before = weightsOf(model);
  const options = { epochs: 1, optimizer: adam };
  let pending: Promise<unknown> = Promise.resolve();
  noGrad(() => {
    pending = fit(model, samples(20), options);
  });
  await pending;
  assert.notDeepEqual(weightsOf(model), before);
});
