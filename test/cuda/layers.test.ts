import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Dropout, resetNet } from '../../lib/layer/index.js';
import { SCNN, SMLP } from '../../lib/models/index.js';
import { IFNode, LIFNode, ParametricLIFNode } from '../../lib/neuron/index.js';
import {
  AdaptiveAvgPool2d,
  AvgPool2d,
  BatchNorm1d,
  BatchNorm2d,
  Conv1d,
  Conv2d,
  Flatten,
  GlobalSumPool2d,
  type Layer,
  Linear,
  MaxPool2d,
  type Module,
  Sequential,
} from '../../lib/nn/index.js';
import {
  autocast,
  crossEntropyLoss,
  type Device,
  manualSeed,
  mseLoss,
  ones,
  randn,
  type Tensor,
  tensor,
} from '../../lib/tensor/index.js';
import { largestDifference } from '../tensor/helpers.js';
import { device, skip } from './device.js';

// Every layer and network on the device against the same on the CPU, in float64: cuDNN may compute float32 convolutions with
// less than 32 bits, and a threshold would turn a last bit into a spike.

const m = { stepMode: 'm' } as const;
const cases: readonly [string, () => Layer, readonly number[]][] = [
  ['Linear', () => new Linear(6, 5, m), [3, 4, 6]],
  ['Conv1d', () => new Conv1d(2, 3, 3, { padding: 1, ...m }), [3, 4, 2, 7]],
  ['Conv2d', () => new Conv2d(2, 4, 3, { padding: 1, groups: 2, ...m }), [3, 4, 2, 6, 5]],
  ['BatchNorm1d', () => new BatchNorm1d(3, m), [3, 4, 3, 7]],
  ['BatchNorm2d', () => new BatchNorm2d(2, m), [3, 4, 2, 6, 5]],
  ['MaxPool2d', () => new MaxPool2d(2, m), [3, 4, 2, 6, 5]],
  ['AvgPool2d', () => new AvgPool2d(2, m), [3, 4, 2, 6, 5]],
  ['AdaptiveAvgPool2d', () => new AdaptiveAvgPool2d([3, 2], m), [3, 4, 2, 6, 5]],
  ['GlobalSumPool2d', () => new GlobalSumPool2d(m), [3, 4, 2, 6, 5]],
  ['Flatten', () => new Flatten(m), [3, 4, 2, 6, 5]],
  ['IFNode', () => new IFNode({ surrogateFunction: 'ATan', ...m }), [5, 4, 6]],
  ['LIFNode', () => new LIFNode({ surrogateFunction: 'Sigmoid', vReset: null, ...m }), [5, 4, 6]],
  ['ParametricLIFNode', () => new ParametricLIFNode({ surrogateFunction: 'Erf', ...m }), [5, 4, 6]],
  [
    'a convolution with batch norm and neurons',
    () =>
      new Sequential(
        new Conv2d(2, 4, 3, m),
        new BatchNorm2d(4, m),
        new LIFNode({ surrogateFunction: 'ATan', ...m }),
        new MaxPool2d(2, m),
        new Flatten(m),
        new Linear(16, 3, m),
      ),
    [4, 4, 2, 6, 6],
  ],
];

const numbers = (x: Tensor | null): number[] => {
  assert.ok(x !== null);
  return [...(x.detach().to('float64').toTypedArray() as Float64Array)];
};

/** Output, gradient of the input, gradients of the parameters, and buffers after a step. */
function outcome(make: () => Layer, shape: readonly number[], on: Device): number[][] {
  manualSeed(3);
  const layer = make().to({ dtype: 'float64', device: on });
  const x = randn(shape, { dtype: 'float64' }).mul(2).to(on);
  x.requiresGrad = true;
  const y = layer.forward(x);
  assert.equal(y.device, x.device);
  y.square().mean().backward();
  const parameters = [...layer.parameters()].map(({ grad }) => numbers(grad));
  return [numbers(y), numbers(x.grad), ...parameters, ...[...layer.buffers()].map(numbers)];
}

function requireClose(found: readonly number[][], expected: readonly number[][]): void {
  assert.equal(found.length, expected.length);
  for (const [i, values] of found.entries()) {
    const difference = largestDifference(values, expected[i]!);
    assert.ok(difference < 1e-9, `the part ${i} differs by ${difference}`);
  }
}

for (const [name, make, shape] of cases) {
  test(`${name}: output, gradients and buffers are the CPU's`, { skip }, () => {
    requireClose(outcome(make, shape, device), outcome(make, shape, 'cpu'));
  });
}

const neuron = {
  kind: 'LIFNode',
  params: { step_mode: 'm', surrogate_function: 'ATan', detach_reset: true },
};
const networks: readonly [string, () => SMLP | SCNN][] = [
  ['SMLP', () => new SMLP({ inputShape: [8, 8, 1], outputShape: [10], timesteps: 4, units: [32], neuron })],
  [
    'SCNN',
    () =>
      new SCNN({
        inputShape: [8, 8, 1],
        outputShape: [10],
        timesteps: 4,
        dims: 2,
        filters: [4, 8],
        kernelSizes: [3, 3],
        paddings: [1, 1],
        strides: [1, 1],
        poolSizes: [2, 2],
        fcUnits: [16],
        batchNorm: true,
        neuron,
      }),
  ],
];

for (const [name, make] of networks) {
  test(`${name}: loss and gradients are the CPU's`, { skip }, () => {
    const run = (on: Device): number[][] => {
      manualSeed(4);
      const net = make().to({ dtype: 'float64', device: on });
      const x = randn([4, 6, 1, 8, 8], { dtype: 'float64' }).to(on);
      resetNet(net);
      const loss = crossEntropyLoss(net.forward(x).mean(0), tensor([0n, 1n, 2n, 3n, 4n, 5n], { device: on }));
      loss.backward();
      return [numbers(loss), ...[...net.parameters()].map(({ grad }) => numbers(grad))];
    };
    requireClose(run(device), run('cpu'));
  });
}

test('a state dictionary goes to the device and back, and states go with their module', { skip }, () => {
  const net: Module = new Sequential(new Linear(4, 3), new LIFNode());
  const before = [...net.parameters()].map(numbers);
  (net as Sequential).forward(randn([2, 4]));
  net.to(device);
  for (const { device: on } of [...net.parameters(), ...net.buffers()]) assert.ok(on.startsWith(device));
  const spikes = (net as Sequential).forward(randn([2, 4]).to(device));
  assert.ok(spikes.device.startsWith(device));
  const other = new Sequential(new Linear(4, 3), new LIFNode());
  other.loadStateDict(net.stateDict());
  assert.equal([...other.parameters()][0]?.device, 'cpu');
  assert.deepEqual([...other.parameters()].map(numbers), before);
  net.to('cpu');
  assert.deepEqual([...net.parameters()].map(numbers), before);
});

test('dropout drops the share that it is told to, on the device', { skip }, () => {
  manualSeed(6);
  const y = new Dropout(0.25).forward(ones([100_000], { device }));
  assert.ok(y.device.startsWith(device));
  const kept = Number(y.gt(0).to('float32').mean().item());
  assert.ok(Math.abs(kept - 0.75) < 0.01, `${kept}`);
});

test('autocast computes matrix products in 16 bits, and gradients stay float32', { skip }, () => {
  const kind = device === 'cpu' ? 'cpu' : 'cuda';
  for (const dtype of ['bfloat16', 'float16'] as const) {
    manualSeed(7);
    const layer = new Linear(16, 8, m).to(device);
    const neuron = new LIFNode({ surrogateFunction: 'ATan', ...m });
    const x = randn([4, 3, 16]).mul(2).to(device);
    const [products, spikes] = autocast({ device: kind, dtype }, () => {
      const found = layer.forward(x);
      return [found, neuron.forward(found)] as const;
    });
    assert.deepEqual([products.dtype, spikes.dtype], [dtype, dtype]);
    mseLoss(spikes.to('float32'), ones([4, 3, 8], { device })).backward();
    assert.equal(layer.weight.grad?.dtype, 'float32');
    assert.ok(numbers(layer.weight.grad).some((value) => value !== 0));
    const exact = layer.forward(x);
    assert.ok(largestDifference(numbers(products), numbers(exact)) < (dtype === 'bfloat16' ? 0.05 : 0.01));
  }
});
