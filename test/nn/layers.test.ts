import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, ShapeError } from '../../lib/errors.js';
import {
  AdaptiveAvgPool1d,
  AdaptiveAvgPool2d,
  AvgPool1d,
  AvgPool2d,
  BatchNorm1d,
  BatchNorm2d,
  Conv1d,
  Conv2d,
  CrossEntropyLoss,
  Flatten,
  GlobalSumPool1d,
  GlobalSumPool2d,
  type Layer,
  Linear,
  MaxPool1d,
  MaxPool2d,
  MSELoss,
  type StepMode,
} from '../../lib/nn/index.js';
import { manualSeed, ones, randn, stack, zeros } from '../../lib/tensor/index.js';
import { difference } from './helpers.js';

const stateless: readonly [string, (stepMode: StepMode) => Layer, readonly number[]][] = [
  ['Linear', (stepMode) => new Linear(4, 3, { stepMode }), [2, 4]],
  ['Conv1d', (stepMode) => new Conv1d(2, 3, 3, { stepMode }), [2, 2, 5]],
  ['Conv2d', (stepMode) => new Conv2d(2, 3, 3, { stepMode }), [2, 2, 4, 5]],
  ['MaxPool1d', (stepMode) => new MaxPool1d(2, { stepMode }), [2, 2, 5]],
  ['MaxPool2d', (stepMode) => new MaxPool2d(2, { stepMode }), [2, 2, 4, 5]],
  ['AvgPool1d', (stepMode) => new AvgPool1d(2, { stepMode }), [2, 2, 5]],
  ['AvgPool2d', (stepMode) => new AvgPool2d(2, { stepMode }), [2, 2, 4, 5]],
  ['AdaptiveAvgPool1d', (stepMode) => new AdaptiveAvgPool1d(3, { stepMode }), [2, 2, 5]],
  ['AdaptiveAvgPool2d', (stepMode) => new AdaptiveAvgPool2d([3, 2], { stepMode }), [2, 2, 4, 5]],
  ['GlobalSumPool1d', (stepMode) => new GlobalSumPool1d({ stepMode }), [2, 2, 5]],
  ['GlobalSumPool2d', (stepMode) => new GlobalSumPool2d({ stepMode }), [2, 2, 4, 5]],
  ['Flatten', (stepMode) => new Flatten({ stepMode }), [2, 3, 2, 2]],
];

for (const [name, make, shape] of stateless) {
  test(`${name}: a sequence in step mode m equals its steps one by one`, () => {
    manualSeed(1);
    const steps = [0, 1, 2].map(() => randn(shape, { dtype: 'float64' }));
    const layer = make('m').to('float64');
    const together = layer.forward(stack(steps));
    (layer as Linear).stepMode = 's';
    const single = stack(steps.map((step) => layer.forward(step)));
    assert.deepEqual(together.shape, single.shape);
    assert.ok(difference(together, [...(single.toTypedArray() as Float64Array)]) < 1e-12);
  });
}

const ranked: readonly [string, (stepMode: StepMode) => Layer, readonly number[]][] = [
  ...stateless.filter(([name]) => name !== 'Linear' && name !== 'Flatten'),
  ['BatchNorm2d', (stepMode) => new BatchNorm2d(2, { stepMode }), [2, 2, 4, 5]],
];

for (const [name, make, shape] of ranked) {
  test(`${name}: each step mode takes its rank only`, () => {
    assert.throws(() => make('s').forward(zeros([2, ...shape])), ShapeError);
    assert.throws(() => make('m').forward(zeros(shape)), ShapeError);
    assert.throws(
      () => make('m').forward(zeros(shape)),
      new RegExp(`${name}: argument 'x' must have ${shape.length + 1} dim`),
    );
    make('s').forward(zeros(shape));
    make('m').forward(zeros([3, ...shape]));
  });
}

test('BatchNorm1d takes [N, C], [N, C, L], and one dimension more in step mode m', () => {
  const layer = new BatchNorm1d(3);
  for (const shape of [
    [2, 3],
    [2, 3, 4],
  ]) {
    layer.stepMode = 's';
    assert.deepEqual(layer.forward(randn(shape)).shape, shape);
    layer.stepMode = 'm';
    assert.deepEqual(layer.forward(randn([5, ...shape])).shape, [5, ...shape]);
  }
  layer.stepMode = 's';
  assert.throws(() => layer.forward(randn([5, 2, 3, 4])), ShapeError);
  assert.throws(() => layer.forward(randn([3])), ShapeError);
});

test('BatchNorm: one update over time and batch in m, one for each step in s', () => {
  manualSeed(2);
  const x = randn([4, 5, 3]).add(2);
  const [one, many] = [new BatchNorm1d(3, { stepMode: 'm' }), new BatchNorm1d(3)];
  one.forward(x);
  for (const step of x.unbind(0)) many.forward(step);
  assert.equal(one.numBatchesTracked?.item(), 1);
  assert.equal(many.numBatchesTracked?.item(), 4);
  const mean = [...(x.mean([0, 1]).mul(0.1).toTypedArray() as Float32Array)];
  assert.ok(difference(one.runningMean, mean) < 1e-6);
  assert.ok(difference(many.runningMean, mean) > 0.1);
  one.eval();
  one.forward(x);
  assert.equal(one.numBatchesTracked?.item(), 1);
});

test('BatchNorm refuses other channels, and one value per channel in training', () => {
  assert.throws(() => new BatchNorm1d(3).forward(zeros([2, 4])), /must have 3 channels/);
  assert.throws(() => new BatchNorm1d(3).forward(zeros([1, 3])), ShapeError);
  const layer = new BatchNorm1d(3).eval();
  assert.deepEqual(layer.forward(zeros([1, 3])).shape, [1, 3]);
});

test('inputs of other channels or features are ShapeErrors that name the layer', () => {
  const wrong = (layer: Layer, shape: readonly number[], text: string): void =>
    assert.throws(
      () => layer.forward(zeros(shape)),
      (error: unknown) => {
        assert.ok(error instanceof ShapeError);
        assert.equal(error.message, text);
        return true;
      },
    );
  const linear = "Linear: argument 'x' must have 4 features in its last dimension, got shape";
  wrong(new Linear(4, 3), [2, 5], `${linear} [2,5]`);
  wrong(new Linear(4, 3, { stepMode: 'm' }), [2, 4, 1], `${linear} [2,4,1]`);
  const conv = "Conv2d: argument 'x' must have 2 channels, got shape";
  wrong(new Conv2d(2, 3, 3), [1, 3, 4, 4], `${conv} [1,3,4,4]`);
  wrong(new Conv2d(2, 3, 3, { stepMode: 'm' }), [2, 1, 3, 4, 4], `${conv} [2,3,4,4]`);
});

test('a max-pooling of single values is the identity', () => {
  const x = ones([2, 3, 4]);
  assert.equal(new MaxPool1d(1).forward(x), x);
  assert.deepEqual(new MaxPool1d(1, { stride: 2 }).forward(x).shape, [2, 3, 2]);
});

test('an empty sequence stays empty', () => {
  assert.deepEqual(
    new Conv2d(2, 3, 3, { stepMode: 'm' }).forward(zeros([0, 2, 2, 4, 4])).shape,
    [0, 2, 3, 2, 2],
  );
  assert.deepEqual(new Flatten({ stepMode: 'm' }).forward(zeros([0, 2, 3, 2])).shape, [0, 2, 6]);
});

test('options that are wrong name the layer and the argument', () => {
  const bad = <T>(value: unknown): T => value as T;
  assert.throws(() => new Linear(0, 1), /Linear: argument 'inFeatures' must be an integer >= 1, got 0/);
  assert.throws(() => new Linear(1.5, 1), TypeError);
  assert.throws(() => new Linear(1, 1, bad({ biass: false })), /Linear: argument 'options'/);
  assert.throws(() => new Linear(1, 1, bad({ stepMode: 'x' })), ConfigError);
  assert.throws(
    () => new Conv2d(2, 3, [3, 3, 3]),
    /Conv2d: argument 'kernelSize' must be an integer or 2 of them/,
  );
  assert.throws(() => new Conv2d(3, 4, 3, { groups: 2 }), /'groups' must be a divisor of inChannels \(3\)/);
  assert.throws(() => new Conv1d(3, 3, 3, { padding: bad('full') }), TypeError);
  assert.throws(
    () => new Conv1d(3, 3, 3, { padding: 'same', stride: 2 }),
    /Conv1d: argument 'padding' must be numbers or 'valid' with a stride other than 1/,
  );
  assert.throws(
    () => new Conv2d(3, 3, 3, { paddingMode: bad('zero') }),
    /'paddingMode' must be one of zeros, reflect, replicate, circular/,
  );
  assert.throws(() => new MaxPool2d(2, bad({ dilate: 1 })), TypeError);
  assert.throws(() => new AdaptiveAvgPool2d([2, 0]), TypeError);
  assert.throws(() => new GlobalSumPool1d(bad({ dims: 1 })), TypeError);
  assert.throws(() => new AvgPool1d(0), TypeError);
  assert.throws(() => new BatchNorm1d(3, { momentum: 2 }), TypeError);
  assert.throws(() => new MSELoss(bad({ reduction: 'median' })), /'none', 'mean' or 'sum'/);
  assert.throws(() => new CrossEntropyLoss({ reduction: bad(1) }), TypeError);
});

test('MSELoss refuses shapes that would be broadcast', () => {
  assert.throws(() => new MSELoss().forward(ones([4, 1]), ones([4])), ShapeError);
});

test('unfolded weights have the dtype that was asked for', () => {
  assert.equal(new Linear(2, 2, { dtype: 'float64' }).bias?.dtype, 'float64');
  assert.equal(new Conv1d(2, 2, 1, { dtype: 'float64' }).weight.dtype, 'float64');
  assert.equal(new BatchNorm2d(2, { dtype: 'float64' }).runningVar?.dtype, 'float64');
});
