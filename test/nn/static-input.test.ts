// A sequence that is one step expanded in time is computed once: the same numbers as for T copies of the step.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dropout, Dropout2d } from '../../lib/layer/index.js';
import { IFNode } from '../../lib/neuron/index.js';
import {
  AdaptiveAvgPool2d,
  AvgPool1d,
  AvgPool2d,
  BatchNorm1d,
  BatchNorm2d,
  Conv1d,
  Conv2d,
  Flatten,
  GlobalSumPool1d,
  GlobalSumPool2d,
  type Layer,
  Linear,
  MaxPool1d,
  MaxPool2d,
} from '../../lib/nn/index.js';
import { manualSeed, randn, type Tensor, zeros } from '../../lib/tensor/index.js';
import { difference } from './helpers.js';

const steps = 5;
const m = { stepMode: 'm' } as const;

const cases: readonly [string, () => Layer, readonly number[]][] = [
  ['Linear', () => new Linear(4, 3, m), [2, 4]],
  ['Conv1d', () => new Conv1d(2, 3, 3, m), [2, 2, 5]],
  ['Conv2d', () => new Conv2d(2, 3, 3, { padding: 1, ...m }), [2, 2, 4, 5]],
  ['MaxPool1d', () => new MaxPool1d(2, m), [2, 2, 5]],
  ['MaxPool2d', () => new MaxPool2d(2, m), [2, 2, 4, 5]],
  ['AvgPool1d', () => new AvgPool1d(2, m), [2, 2, 5]],
  ['AvgPool2d', () => new AvgPool2d(2, m), [2, 2, 4, 5]],
  ['AdaptiveAvgPool2d', () => new AdaptiveAvgPool2d(2, m), [2, 2, 4, 5]],
  ['GlobalSumPool1d', () => new GlobalSumPool1d(m), [2, 2, 5]],
  ['GlobalSumPool2d', () => new GlobalSumPool2d(m), [2, 2, 4, 5]],
  ['Flatten', () => new Flatten(m), [2, 3, 2, 2]],
  ['Dropout', () => new Dropout(0.4, m), [6, 5]],
  ['Dropout2d', () => new Dropout2d(0.4, m), [2, 5, 2, 2]],
  ['BatchNorm1d', () => new BatchNorm1d(3, m), [4, 3]],
  ['BatchNorm1d of [N, C, L]', () => new BatchNorm1d(3, { momentum: 0.3, ...m }), [2, 3, 4]],
  ['BatchNorm1d of one value per channel', () => new BatchNorm1d(3, m), [1, 3]],
  [
    'BatchNorm1d of one value, no statistics',
    () => new BatchNorm1d(3, { trackRunningStats: false, ...m }),
    [1, 3],
  ],
  ['BatchNorm2d', () => new BatchNorm2d(2, m), [2, 2, 3, 4]],
  ['BatchNorm2d, plain mean', () => new BatchNorm2d(2, { momentum: null, ...m }), [2, 2, 3, 4]],
  [
    'BatchNorm2d without statistics',
    () => new BatchNorm2d(2, { trackRunningStats: false, ...m }),
    [2, 2, 3, 4],
  ],
  ['BatchNorm2d, momentum 1', () => new BatchNorm2d(2, { momentum: 1, affine: false, ...m }), [2, 2, 3, 4]],
];

interface Trace {
  readonly outputs: readonly Tensor[];
  readonly all: readonly (readonly [string, Tensor])[];
}

// Two calls and one backward pass over both, so that what the first one saved has to be as it was.
function traced(make: () => Layer, shape: readonly number[], train: boolean, expanded: boolean): Trace {
  manualSeed(8);
  const layer = make().to('float64').train(train);
  const xs = [0, 1].map(() => randn(shape, { dtype: 'float64', requiresGrad: true }));
  const outputs = xs.map((x) => {
    const sequence = x.unsqueeze(0).expand([steps, ...shape]);
    return layer.forward(expanded ? sequence : sequence.contiguous());
  });
  const weights = outputs.map((y) => randn(y.shape, { dtype: 'float64' }));
  const loss = outputs.map((y, i) => y.mul(weights[i] as Tensor).sum()).reduce((a, b) => a.add(b));
  loss.backward();
  const named = (name: string, tensors: readonly Tensor[]): [string, Tensor][] =>
    tensors.map((value, i) => [`${name} ${i}`, value]);
  return {
    outputs,
    all: [
      ...named('output', outputs),
      ...named(
        'input gradient',
        xs.map((x) => x.grad as Tensor),
      ),
      ...[...layer.namedParameters()].map(([name, value]) => [`gradient of ${name}`, value.grad!] as const),
      ...[...layer.namedBuffers()],
    ],
  };
}

for (const [name, make, shape] of cases) {
  for (const train of [true, false]) {
    if (!train && name === 'BatchNorm1d of one value per channel') continue;
    test(`${name}, ${train ? 'training' : 'evaluation'}: computed once, with the numbers of ${steps} times`, () => {
      const once = traced(make, shape, train, true);
      const each = traced(make, shape, train, false);
      for (const [i, output] of once.outputs.entries()) {
        assert.equal(output.strides[0], 0);
        assert.notEqual(each.outputs[i]?.strides[0], 0);
      }
      assert.equal(once.all.length, each.all.length);
      for (const [i, [what, value]] of once.all.entries()) {
        const [, other] = each.all[i] as [string, Tensor];
        assert.deepEqual(value.shape, other.shape, what);
        const wanted = [...other.detach().to('float64').toTypedArray()] as number[];
        assert.ok(difference(value, wanted) < 1e-12, what);
      }
    });
  }
}

test('single steps and steps of their own are computed as they are', () => {
  const layer = new Linear(3, 2, m);
  const one = zeros([4, 3]);
  assert.notEqual(layer.forward(one.unsqueeze(0).expand([1, 4, 3])).strides[0], 0);
  assert.notEqual(layer.forward(zeros([2, 4, 3])).strides[0], 0);
  layer.stepMode = 's';
  assert.notEqual(layer.forward(zeros([3]).expand([4, 3])).strides[0], 0);
});

test('an expanded sequence that does not fit is refused as any other', () => {
  const x = (shape: readonly number[]): Tensor =>
    zeros(shape)
      .unsqueeze(0)
      .expand([3, ...shape]);
  assert.throws(() => new Conv2d(2, 3, 3, m).forward(x([2, 3, 4, 4])), /must have 2 channels/);
  assert.throws(() => new Conv2d(2, 3, 3, m).forward(x([2, 4, 4])), /must have 5 dimensions/);
  assert.throws(() => new BatchNorm1d(3, m).forward(x([2, 4])), /must have 3 channels/);
  assert.throws(() => new BatchNorm1d(3, m).forward(x([0, 3])), /more than one value per channel/);
});

test('a neuron after it fires in time as for copies of the step', () => {
  manualSeed(9);
  const spikes = (expanded: boolean): unknown => {
    manualSeed(9);
    const [conv, neuron] = [new Conv2d(1, 4, 3, m), new IFNode({ vReset: null, ...m })];
    const x = randn([2, 1, 6, 6]).mul(2).unsqueeze(0).expand([steps, 2, 1, 6, 6]);
    const y = neuron.forward(conv.forward(expanded ? x : x.contiguous()));
    assert.ok((y.mean().item() as number) > 0.05);
    assert.notDeepEqual(y.select(0, 0).tolist(), y.select(0, 1).tolist());
    return y.tolist();
  };
  assert.deepEqual(spikes(true), spikes(false));
});
