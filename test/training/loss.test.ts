import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { CrossEntropyLoss, crossEntropy } from '../../lib/nn/index.js';
import { mseLoss, oneHot, type Tensor, tensor } from '../../lib/tensor/index.js';
import { checkFit } from '../../lib/training/fit.js';
import { CrossEntropy, evaluate, fit, losses, resolveFramework } from '../../lib/training/index.js';
import { difference, golden } from '../nn/helpers.js';
import { network, samples } from './helpers.js';

interface LossCase {
  readonly kind: 'crossentropy' | 'mse';
  readonly options: {
    readonly reduction?: 'mean' | 'sum' | 'none';
    readonly label_smoothing?: number;
    readonly weight?: readonly number[];
  };
  readonly outputs: readonly (readonly number[])[];
  readonly targets: readonly number[];
  readonly upstream: number | number[] | number[][];
  readonly loss: number | readonly number[] | readonly (readonly number[])[];
  readonly grad: readonly (readonly number[])[];
}

const { cases } = golden<{ cases: readonly LossCase[] }>('losses.json');

function functional({ kind, options }: LossCase, outputs: Tensor, targets: Tensor): Tensor {
  const { reduction, weight, label_smoothing: labelSmoothing } = options;
  if (kind === 'mse') {
    return mseLoss(outputs, oneHot(targets, outputs.shape[1]).to('float64'), reduction);
  }
  const own = weight && tensor(weight, { dtype: 'float64' });
  return crossEntropy(outputs, targets, { reduction, weight: own, labelSmoothing });
}

test('the golden table has its cases', () => {
  assert.equal(cases.length, 23);
});

for (const [index, entry] of cases.entries()) {
  const { kind, options, targets, upstream, grad } = entry;
  const check = (compute: (outputs: Tensor, targets: Tensor) => Tensor): void => {
    const outputs = tensor(entry.outputs, { dtype: 'float64', requiresGrad: true });
    const loss = compute(outputs, tensor(Int32Array.from(targets), { dtype: 'int64' }));
    assert.ok(difference(loss, [entry.loss].flat(2)) < 1e-14);
    loss.backward(tensor(upstream, { dtype: 'float64' }));
    assert.ok(difference(outputs.grad, grad.flat()) < 1e-14);
  };
  test(`loss ${index}: ${kind} ${JSON.stringify(options)} in float64 equals PyTorch's, gradients too`, () => {
    check((outputs, own) => functional(entry, outputs, own));
    if (options.reduction === 'none') return;
    check((outputs, own) => new (losses.find(kind, []))(options).compute(outputs, own));
  });
}

function framework(loss: unknown): ReturnType<typeof resolveFramework> {
  return resolveFramework({ params: { loss } }, 'm', ['learningframework']);
}

test('a loss with parameters from a configuration', () => {
  const params = { label_smoothing: 0.1, weight: [1, 2, 4], reduction: 'sum' };
  const { loss } = framework({ kind: 'crossentropy', params }).create();
  assert.ok(loss instanceof CrossEntropy);
  assert.deepEqual([loss.labelSmoothing, loss.weight, loss.reduction], [0.1, [1, 2, 4], 'sum']);
  const at = 'learningframework.params.loss.params';
  for (const [kind, params, message] of [
    [
      'crossentropy',
      { label_smoothing: 1.5 },
      `${at}.label_smoothing: expected a number >= 0 and <= 1, got 1.5`,
    ],
    [
      'crossentropy',
      { label_smoothing: '0.1' },
      `${at}.label_smoothing: expected a number >= 0 and <= 1, got "0.1"`,
    ],
    ['crossentropy', { weight: [1, 0] }, `${at}.weight.1: expected a number > 0, got 0`],
    [
      'crossentropy',
      { weight: [] },
      `${at}.weight: expected a non-empty list of numbers > 0, got an empty list`,
    ],
    ['crossentropy', { reduction: 'none' }, `${at}.reduction: expected one of "mean", "sum", got "none"`],
    [
      'crossentropy',
      { smoothing: 1 },
      `${at}.smoothing: expected a known key (nearest: label_smoothing), got unknown key "smoothing"`,
    ],
    [
      'mse',
      { weight: [1] },
      `${at}.weight: expected a known key (nearest: reduction), got unknown key "weight"`,
    ],
  ] as const) {
    assert.throws(
      () => framework({ kind, params }),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.equal(error.message, message);
        return true;
      },
    );
  }
});

test('the mean loss of an evaluation does not depend on the batches', async () => {
  const model = network();
  const data = samples(50);
  for (const loss of [
    { kind: 'crossentropy', params: { label_smoothing: 0.2, weight: [0.25, 1, 8] } },
    { kind: 'crossentropy', params: { weight: [0.25, 1, 8], reduction: 'sum' } },
    { kind: 'mse', params: { reduction: 'sum' } },
  ]) {
    const of = async (batchSize: number): Promise<number> => {
      const result = await evaluate(model, data, { batchSize, framework: { params: { loss, metrics: [] } } });
      return result['loss'] as number;
    };
    const whole = await of(50);
    assert.ok(whole > 0);
    for (const size of [1, 7, 49]) assert.ok(Math.abs((await of(size)) / whole - 1) < 1e-6);
  }
});

test('a weight for another number of classes is told before the first batch', async () => {
  const loss = { kind: 'crossentropy', params: { weight: [1, 2] } };
  const framework = { params: { loss } };
  const error = {
    name: 'ConfigError',
    message: 'framework.params.loss.params.weight: expected 3 numbers, one for each class, got 2',
  };
  await assert.rejects(evaluate(network(), samples(8), { framework }), error);
  assert.throws(() => checkFit(network(), samples(8), { epochs: 1, framework }), error);
});

test('training takes the parameters of the loss', async () => {
  const data = samples(32);
  const losses = [];
  for (const weight of [undefined, [1, 1, 1], [1, 1, 20]]) {
    const loss = { kind: 'crossentropy', params: { label_smoothing: 0.1, ...(weight && { weight }) } };
    const optimizer = { kind: 'SGD', params: { lr: 0.1 } };
    const { epochs } = await fit(network(), data, {
      epochs: 1,
      seed: 1,
      optimizer,
      framework: { params: { loss } },
    });
    losses.push(epochs[0]!['train_loss']!);
  }
  assert.ok(Math.abs(losses[0]! - losses[1]!) < 1e-6);
  assert.ok(Math.abs(losses[0]! - losses[2]!) > 1e-3);
});

test('wrong options of the functional form', () => {
  const [x, y] = [tensor([[1, 2]]), tensor([0n])];
  for (const [options, message] of [
    [{ labelSmoothing: -0.1 }, /'labelSmoothing' must be a number from 0 to 1, got -0.1/],
    [{ labelSmoothing: Number.NaN }, /from 0 to 1, got NaN/],
    [{ ignoreIndex: 0.5 }, /'ignoreIndex' must be a safe integer, got 0.5/],
    [{ reduction: 'median' }, /'none', 'mean' or 'sum'/],
    [{ smoothing: 1 }, /an object with reduction, weight, ignoreIndex, labelSmoothing/],
  ] as const) {
    assert.throws(() => crossEntropy(x, y, options as never), { name: 'TypeError', message });
    assert.throws(() => new CrossEntropyLoss(options as never), { name: 'TypeError', message });
  }
  assert.equal(crossEntropy(x, y, { ignoreIndex: 0, reduction: 'sum' }).item(), 0);
});
