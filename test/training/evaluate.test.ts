import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, ShapeError } from '../../lib/errors.js';
import { SNN } from '../../lib/snn.js';
import { memory, noGrad, type Tensor, tensor, tidy } from '../../lib/tensor/index.js';
import { evaluate, predict, SpikingJelly } from '../../lib/training/index.js';
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
  assert.deepEqual(Object.keys(result), ['loss', 'prec', 'rec', 'f1', 'acc', 'avgclsacc']);
  assert.equal(result['acc'], hits / 70);
  assert.ok(Math.abs(result['loss']! - mean) < 1e-6);
  const named = await evaluate(model, data, { prefix: 'test_', framework: { params: { metrics: ['acc'] } } });
  assert.deepEqual(named, { test_loss: result['loss'], test_acc: result['acc'] });
  const squared = await evaluate(model, data, { framework: { params: { loss: 'mse', metrics: [] } } });
  const expected = rows.flatMap((row, i) => row.map((value, c) => (value - Number(c === data.y[i])) ** 2));
  assert.ok(Math.abs(squared['loss']! - expected.reduce((sum, value) => sum + value, 0) / 210) < 1e-6);
});

test('evaluation records no gradients and leaves no tensors', async () => {
  const model = network();
  const data = samples(64);
  await evaluate(model, data, { batchSize: 8 });
  const before = memory().tensors;
  for (let i = 0; i < 3; i++) await evaluate(model, data, { batchSize: 8 });
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
