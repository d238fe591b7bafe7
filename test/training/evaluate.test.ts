import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError, ShapeError } from '../../lib/errors.js';
import { SNN } from '../../lib/snn.js';
import { memory, noGrad, type Tensor, tensor, tidy } from '../../lib/tensor/index.js';
import { readCheckpoint, writeCheckpoint } from '../../lib/training/checkpoint.js';
import { Meter, type MeterState } from '../../lib/training/evaluate.js';
import { evaluate, fit, predict, SpikingJelly } from '../../lib/training/index.js';
import { collectGarbage } from '../tensor/helpers.js';
import { network, samples } from './helpers.js';

test('predict gives the outputs of every sample, whatever the batch', async () => {
  const model = network('s');
  const { x, shape } = samples(10);
  const all = tidy(() =>
    noGrad(() => new SpikingJelly().forward(model, tensor(x, { shape: [10, ...shape] })).toTypedArray()),
  );
  const whole = await predict(model, x, shape);
  assert.deepEqual(whole, all);
  assert.equal(whole.length, 30);
  const parts = await predict(model, x, shape, { batchSize: 3 });
  // Matrix products of other sizes may round otherwise.
  assert.ok(parts.every((value, i) => Math.abs(value - whole[i]!) < 1e-5));
  assert.deepEqual(await predict(model, new Float32Array(), shape), new Float32Array());
  assert.equal(model.training, true);
});

test('outputs of several dimensions can be predicted, not judged', async () => {
  class Grid extends SNN {
    override forward(x: Tensor): Tensor {
      return x.reshape([-1, 2, 2]);
    }
  }
  const model = new Grid({ inputShape: [4], outputShape: [2, 2], timesteps: 2, neuron: { kind: 'IFNode' } });
  const { x, ...rest } = samples(3, 1, [4]);
  assert.deepEqual(await predict(model, x, [4]), x);
  await assert.rejects(evaluate(model, { x, ...rest }), /outputShape must be \[classes\], got \[2,2\]/);
});

test('predict gives float32 from a network in float64', async () => {
  const model = network().to('float64');
  const { x, shape } = samples(4);
  const outputs = await predict(model, x, shape);
  assert.ok(outputs instanceof Float32Array && outputs.length === 12 && outputs.some((value) => value !== 0));
});

test('evaluate measures what predict says', async () => {
  const model = network();
  const data = samples(70);
  const outputs = await predict(model, data.x, data.shape);
  const rows = [...data.y].map((_, i) => [...outputs.subarray(i * 3, i * 3 + 3)]);
  const hits = rows.filter((row, i) => row.indexOf(Math.max(...row)) === data.y[i]).length;
  const loss = rows.map((row, i) => Math.log(row.reduce((s, v) => s + Math.exp(v), 0)) - row[data.y[i]!]!);
  const mean = loss.reduce((sum, value) => sum + value, 0) / 70;
  const result = await evaluate(model, data);
  const names = ['loss', 'prec', 'rec', 'f1', 'acc', 'avgclsacc', 'cm', 'ncm', 'avg_class_accuracy'];
  assert.deepEqual(Object.keys(result), names);
  assert.equal(result['acc'], hits / 70);
  assert.ok(Math.abs(result['loss']! - mean) < 1e-6);
  const named = await evaluate(model, data, {
    prefix: 'test_',
    framework: { params: { metrics: ['acc'], enable_confusion_matrix: false } },
  });
  assert.deepEqual(named, { test_loss: result['loss'], test_acc: result['acc'] });
  const squared = await evaluate(model, data, { framework: { params: { loss: 'mse', metrics: [] } } });
  const expected = rows.flatMap((row, i) => row.map((value, c) => (value - Number(c === data.y[i])) ** 2));
  assert.ok(Math.abs(squared['loss']! - expected.reduce((sum, value) => sum + value, 0) / 210) < 1e-6);
});

test('evaluate has the confusion matrix and metrics of the outputs as numbers', async () => {
  const model = network();
  const data = samples(40);
  const outputs = await predict(model, data.x, data.shape);
  const targets = [...data.y].flatMap((label) => [0, 1, 2].map((c) => Number(c === label)));
  const cm = [0, 1, 2].map(() => [0, 0, 0]);
  for (let i = 0; i < 40; i++) {
    const row = [...outputs.subarray(3 * i, 3 * i + 3)];
    cm[data.y[i]!]![row.indexOf(Math.max(...row))]! += 1;
  }
  const metrics = ['acc', 'mse', 'mae', 'mape', 'corr', 'slope'];
  const params = { metrics, loss: 'mse' };
  const result = await evaluate(model, data, { batchSize: 7, prefix: 'val_', framework: { params } });
  assert.deepEqual(Object.keys(result), [
    ...['val_loss', 'val_acc', 'val_mse', 'val_mae', 'val_mape', 'val_corr_0', 'val_corr_1', 'val_corr_2'],
    ...['val_slope', 'cm', 'ncm', 'avg_class_accuracy'],
  ]);
  assert.deepEqual(result.cm, cm);
  const shares = cm.map((row) => row.map((count) => count / row.reduce((sum, own) => sum + own, 0)));
  assert.deepEqual(result.ncm, shares);
  const diagonal = shares.map((row, i) => row[i]!);
  assert.equal(result['avg_class_accuracy'], diagonal.reduce((sum, own) => sum + own, 0) / 3);
  const errors = targets.map((target, i) => outputs[i]! - target);
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, own) => sum + own, 0) / values.length;
  assert.ok(Math.abs(result['val_mse']! - mean(errors.map((error) => error ** 2))) < 1e-12);
  assert.ok(Math.abs(result['val_mse']! - result['val_loss']!) < 1e-6);
  assert.ok(Math.abs(result['val_mae']! - mean(errors.map(Math.abs))) < 1e-12);
  const [x, y] = [0, 1].map((which) =>
    Array.from({ length: 40 }, (_, i) => (which ? targets : outputs)[3 * i + 1]!),
  );
  const [mx, my] = [mean(x!), mean(y!)];
  const of = (a: readonly number[], ma: number, b: readonly number[], mb: number): number =>
    mean(a.map((value, i) => (value - ma) * (b[i]! - mb)));
  const corr = of(x!, mx, y!, my) / Math.sqrt(of(x!, mx, x!, mx) * of(y!, my, y!, my));
  assert.ok(Math.abs(result['val_corr_1']! - corr) < 1e-12);
  // A step of another size changes the rounding of the network's own sums at most.
  const whole = await evaluate(model, data, { batchSize: 40, prefix: 'val_', framework: { params } });
  assert.deepEqual(whole.cm, cm);
  for (const name of ['val_mse', 'val_mae', 'val_corr_2', 'val_slope']) {
    assert.ok(Math.abs(whole[name]! - result[name]!) < 1e-6, name);
  }
});

test('a correlation for each output cannot decide which epoch is the best', async () => {
  const checkpoint_metric = { name: 'train_corr', mode: 'max' };
  const params = { metrics: ['corr', 'mse'], use_best_epoch: true, checkpoint_metric };
  await assert.rejects(fit(network(), samples(8), { epochs: 1, framework: { params } }), {
    name: 'ConfigError',
    message: /expected one of train_mse, train_loss, got "train_corr"/,
  });
});

test('a meter goes on from a state that was in a checkpoint, NaN too', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'spikenode-'));
  const framework = new SpikingJelly({ metrics: ['acc', 'mse', 'corr'] });
  const batch = { size: 2, x: new Float32Array(), shape: [2, 1], y: Int32Array.of(0, 1) };
  for (const loss of [0.5, Number.NaN]) {
    const judgement = {
      loss: tensor(loss),
      outputs: tensor([
        [0.25, 1],
        [2, 3],
      ]),
      predicted: tensor([1n, 1n]),
    };
    const [whole, first, second] = [0, 1, 2].map(() => new Meter(framework, 2)) as [Meter, Meter, Meter];
    await whole.add(batch, judgement);
    await whole.add(batch, { ...judgement, loss: tensor(0.1) });
    await first.add(batch, judgement);
    const place = { epochs: 0, steps: 1 };
    const path = await writeCheckpoint(folder, place, { state: first.stateDict(), tensors: new Map() }, 1);
    const { state: saved } = await readCheckpoint(path);
    second.loadStateDict(saved as unknown as MeterState);
    await second.add(batch, { ...judgement, loss: tensor(0.1) });
    assert.deepEqual(second.report('a_'), whole.report('a_'));
    assert.equal(Number.isNaN(whole.report('')['loss']), Number.isNaN(loss));
  }
  rmSync(folder, { recursive: true });
  const state = new Meter(framework, 2).stateDict();
  assert.throws(() => new Meter(framework, 3).loadStateDict(state), ShapeError);
  assert.throws(() => new Meter(new SpikingJelly(), 2).loadStateDict(state), /of the same metrics/);
});

test('evaluation records no gradients and leaves no tensors', async () => {
  const model = network();
  const data = samples(64);
  const options = { batchSize: 8, framework: { params: { metrics: ['acc', 'corr'] } } };
  const all = async (): Promise<void> => {
    for (const optimizer of [undefined, { kind: 'SGD', params: { lr: 0 } }]) {
      const { epochs } = await fit(model, data, { epochs: 1, ...options, optimizer });
      assert.ok(Math.abs(epochs[0]!['train_corr_2']!) <= 1);
    }
    for (let i = 0; i < 3; i++) await evaluate(model, data, options);
  };
  await all();
  await collectGarbage();
  const before = memory().tensors;
  await all();
  assert.equal(memory().tensors, before);
  assert.ok([...model.parameters()].every((parameter) => parameter.grad === null));
});

test('an abort rejects with the reason of the signal', async () => {
  const model = network();
  const data = samples(64);
  await assert.rejects(evaluate(model, data, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  const controller = new AbortController();
  let calls = 0;
  const hook = model.registerForwardHook(() => {
    calls += 1;
    controller.abort(new Error('enough'));
  });
  await assert.rejects(
    predict(model, data.x, data.shape, { batchSize: 4, signal: controller.signal }),
    /enough/,
  );
  hook.remove();
  assert.equal(calls, 1);
  assert.equal(model.training, true);
});

test('what does not fit is an error before anything runs', async () => {
  const model = network();
  const data = samples(8);
  await assert.rejects(
    predict(model, data.x.subarray(1), data.shape),
    (error: unknown) => error instanceof ShapeError && /no whole number of samples/.test(error.message),
  );
  await assert.rejects(predict(model, data.x, [0]), (error: unknown) => error instanceof ShapeError);
  await assert.rejects(
    evaluate(model, { ...data, length: 0 }),
    (error: unknown) => error instanceof ShapeError,
  );
  await assert.rejects(evaluate(model, { ...data, classes: 5 }), /5 classes, the network only 3 outputs/);
  await assert.rejects(
    evaluate(model, data, { batchSize: 0 }),
    (error: unknown) => error instanceof ConfigError && error.path[0] === 'batchSize',
  );
  await assert.rejects(evaluate(model, data, { framework: { kind: 'SpikingJelly' } }), /step_mode is "m"/);
});
