import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { checkExperiment } from '../../lib/experiment/index.js';
import { Dropout, resetNet, setStepMode } from '../../lib/layer/index.js';
import { SCNN, type SCNNOptions } from '../../lib/models/index.js';
import { BatchNorm1d } from '../../lib/nn/index.js';
import { manualSeed, memory, noGrad, ones, randn, stack, type Tensor, tidy } from '../../lib/tensor/index.js';
import { SpikingJelly, SpikingJellyMultiStep } from '../../lib/training/index.js';
import { difference } from '../nn/helpers.js';

const STEPS = 3;

const image: SCNNOptions = {
  inputShape: [6, 6, 2],
  outputShape: [3],
  dims: 2,
  timesteps: STEPS,
  filters: [4, 4],
  kernelSizes: [3, [1, 3]],
  paddings: [1, [0, 1]],
  strides: [1, 1],
  poolSizes: [2, 0],
  fcUnits: [5],
  neuron: { kind: 'LIFNode', params: { v_threshold: 0.15 } },
};

const signal: SCNNOptions = {
  inputShape: [16, 2],
  outputShape: [3],
  timesteps: STEPS,
  filters: [4, 6],
  kernelSizes: [5, 3],
  paddings: [2, 1],
  strides: [1, 2],
  poolSizes: [2, 0],
  fcUnits: [],
  gsp: true,
  neuron: { kind: 'IFNode', params: { v_threshold: 0.4, v_reset: false } },
};

// Reads like the smooth twin of a spiking network, whose gradients finite differences can check.
function smooth(options: SCNNOptions): SCNNOptions {
  const surrogate_function = { kind: 'Sigmoid', params: { alpha: 2, spiking: false } };
  const { kind, params } = options.neuron;
  return { ...options, neuron: { kind, params: { ...params, surrogate_function } } };
}

function sequence(options: SCNNOptions): Tensor {
  const [channels, ...map] = [...options.inputShape].reverse();
  return randn([STEPS, 4, channels as number, ...map.reverse()], { dtype: 'float64' });
}

function outputs(model: SCNN, x: Tensor): Tensor {
  resetNet(model);
  return model.stepMode === 'm' ? model.forward(x) : stack(x.unbind(0).map((step) => model.forward(step)));
}

function numbers(x: Tensor | null): number[] {
  return [...(x as Tensor).detach().toTypedArray()] as number[];
}

test('the layers of a network with everything, in their order', () => {
  const model = new SCNN({
    ...image,
    kernelSizes: [3, 3],
    paddings: [1, 1],
    poolSizes: [2, 1],
    separables: [false, true],
    dropouts: [0.1, 0.2, 0.3],
    batchNorm: true,
    prepool: [1, 2],
    postpool: [3, 1],
  });
  assert.equal(
    [...model.layers.keys()].join(' '),
    'prepool conv1 bn1 neuron1 dropout1 maxpool1 conv2_dw bn2_dw neuron2_dw conv2_pw bn2_pw neuron2_pw dropout2 ' +
      'maxpool2 postpool flatten fc1 neuron3 dropout3 fc2',
  );
  assert.equal((model.layers.get('dropout3') as Dropout).p, 0.3);
});

test('dropouts: one number for all, zeros for none; the summing head has no linear layers', () => {
  const names = (options: Partial<SCNNOptions>): string =>
    [...new SCNN({ ...image, ...options }).layers.keys()]
      .filter((name) => /^(drop|fc|gsp|conv3)/.test(name))
      .join(' ');
  assert.equal(names({}), 'fc1 fc2');
  assert.equal(names({ dropouts: 0.5 }), 'dropout1 dropout2 fc1 dropout3 fc2');
  assert.equal(names({ dropouts: [0, 0.5, 0] }), 'dropout2 fc1 fc2');
  assert.equal(names({ dropouts: [0.1, 0.2], gsp: true }), 'dropout1 dropout2 conv3 gsp');
  assert.equal(names({ dropouts: [0.1, 0, 0.3], gsp: true }), 'dropout1 conv3 gsp');
});

test('defaults: one dimension, four time steps, no dropout', () => {
  const { timesteps: _, dims: __, ...rest } = { ...signal, dims: 1 as const };
  const model = new SCNN(rest);
  assert.equal(model.timesteps, 4);
  assert.deepEqual(model.inputShape, [4, 16, 2]);
  assert.deepEqual(model.forward(ones([2, 2, 16])).shape, [2, 3]);
  class Mine extends SCNN {
    static override readonly parameters = { ...SCNN.parameters };
  }
  assert.equal(new Mine(rest).timesteps, 4);
});

for (const [name, options] of [
  ['image', image],
  ['signal', signal],
  ['image with dropout', { ...image, dropouts: 0.3 }],
] as const) {
  test(`${name}: step modes s and m agree without batch normalisation`, () => {
    manualSeed(12);
    const model = new SCNN(options).to('float64');
    const x = sequence(options);
    const results = (['s', 'm'] as const).map((mode) => {
      setStepMode(model, mode);
      model.zeroGrad();
      const input = x.detach().clone();
      input.requiresGrad = true;
      // The masks of the dropouts are drawn in the same order.
      manualSeed(13);
      const y = outputs(model, input);
      y.mul(y).sum().backward();
      return [y, input.grad, ...[...model.parameters()].map((parameter) => parameter.grad)];
    });
    const [single, multi] = results as [(Tensor | null)[], (Tensor | null)[]];
    for (const [i, value] of multi.entries()) {
      const what = `value ${i} of ${multi.length}`;
      assert.ok(difference(value, numbers(single[i] as Tensor)) < 1e-12, what);
      assert.ok(
        numbers(value).some((number) => number !== 0),
        `${what} is zero`,
      );
    }
  });
}

for (const [name, options] of [
  ['image', image],
  [
    'image, separable, batch normalisation',
    { ...image, kernelSizes: [3, 3], paddings: [1, 1], separables: [false, true], batchNorm: true },
  ],
  ['signal, summing head', signal],
  [
    'signal, batch normalisation, pooling',
    { ...signal, gsp: false, batchNorm: true, prepool: 2, postpool: 2 },
  ],
] as const) {
  for (const mode of ['s', 'm'] as const) {
    test(`${name}, step mode ${mode}: gradients equal finite differences in the smooth mode`, () => {
      manualSeed(14);
      const model = new SCNN(smooth(options)).to('float64');
      setStepMode(model, mode);
      const x = sequence(options);
      x.requiresGrad = true;
      const weights = randn([STEPS, 4, 3], { dtype: 'float64' });
      const loss = (): Tensor => outputs(model, x).mul(weights).sum();
      loss().backward();
      const tensors = [x, ...model.parameters()];
      let largest = 0;
      for (const value of tensors) {
        const direction = randn(value.shape, { dtype: 'float64' });
        const slope = (value.grad as Tensor).mul(direction).sum().item() as number;
        const step = 1e-6;
        const at = (scale: number): number =>
          tidy(() => noGrad(() => value.add_(direction, { alpha: scale })) && (loss().item() as number));
        // From x to x + h to x - h and back.
        const found = (at(step) - at(-2 * step)) / (2 * step);
        noGrad(() => value.add_(direction, { alpha: step }));
        largest = Math.max(largest, Math.abs(slope));
        assert.ok(Math.abs(found - slope) <= 1e-6 * (1 + Math.abs(slope)), `${found}, ${slope}`);
      }
      assert.ok(largest > 1e-3, 'all gradients vanish');
    });
  }
}

test('dropout keeps one mask over time until the reset', () => {
  manualSeed(15);
  const model = new SCNN({ ...image, dropouts: [0.5, 0, 0] });
  const masks: unknown[] = [];
  model.layers.get('dropout1')?.registerForwardHook((_module, inputs, output) => {
    const silent = (inputs[0] as Tensor).eq(0);
    masks.push((output as Tensor).add(silent).eq(0).tolist());
  });
  const x = ones([2, 2, 6, 6]).mul(20);
  model.forward(x);
  model.forward(x);
  resetNet(model);
  model.forward(x);
  assert.deepEqual(masks[1], masks[0]);
  assert.notDeepEqual(masks[2], masks[0]);
});

test('the same input in each step: one convolution, the same outputs as step by step', () => {
  manualSeed(16);
  const model = new SCNN(image).to('float64');
  const x = randn([4, 6, 6, 2], { dtype: 'float64' });
  const single = new SpikingJelly().forward(model, x);
  setStepMode(model, 'm');
  const strides: number[] = [];
  for (const name of ['conv1', 'neuron1']) {
    model.layers.get(name)?.registerForwardHook((_module, _inputs, output) => {
      strides.push((output as Tensor).strides[0] as number);
    });
  }
  assert.ok(difference(new SpikingJellyMultiStep().forward(model, x), numbers(single)) < 1e-12);
  assert.equal(strides[0], 0);
  assert.notEqual(strides[1], 0);
});

function refused(
  changes: object,
  path: string,
  expected: string,
  got: string,
  base: SCNNOptions = image,
): void {
  assert.throws(
    () => new SCNN({ ...base, ...changes }),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError, `${error}`);
      assert.equal(error.message, `${path}: expected ${expected}, got ${got}`);
      return true;
    },
  );
}

test('lists that do not fit are errors that name the list', () => {
  const two = '2 values, one for each of filters';
  refused({ kernelSizes: [3] }, 'kernelSizes', two, '1 value');
  refused({ paddings: [1, 1, 1] }, 'paddings', two, '3 values');
  refused({ strides: [] }, 'strides', two, '0 values');
  refused({ poolSizes: [2] }, 'poolSizes', two, '1 value');
  refused({ separables: [true] }, 'separables', two, '1 value');
  const three = 'one number, or 3 values, one for each of filters and then of fc_units';
  refused({ dropouts: [0.5, 0.5] }, 'dropouts', three, '2 values');
  refused({ filters: [] }, 'filters', 'a non-empty list of integers >= 1', 'an empty list');
  refused({ fcUnits: [0] }, 'fcUnits.0', 'an integer >= 1', '0');
  refused({ dropouts: [0, 0, 1.5] }, 'dropouts.2', 'a number >= 0 and <= 1', '1.5');
});

test('sizes that do not fit the map are errors that name the parameter', () => {
  const square = 'an integer or [h, w], since dims = 2';
  refused({ kernelSizes: [3, [3]] }, 'kernelSizes.1', square, 'a list');
  refused({ prepool: [2, 2, 2] }, 'prepool', square, 'a list');
  refused({ kernelSizes: [3, [3, 3]] }, 'kernelSizes.1', 'an integer, since dims = 1', 'a list', signal);
  refused({ inputShape: [6, 2] }, 'inputShape', '[H, W, C], since dims = 2', '[6, 2]');
  refused({ inputShape: [6, 6, 2] }, 'inputShape', '[S, C], since dims = 1', '[6, 6, 2]', signal);
  refused(
    { kernelSizes: [3, 9] },
    'kernelSizes.1',
    'a size that fits into a map of 3 x 3 with a padding of 0 x 1',
    '9 x 9',
  );
  refused({ poolSizes: [2, [1, 4]] }, 'poolSizes.1', 'a size that fits into a map of 3 x 3', '1 x 4');
  refused({ prepool: 7 }, 'prepool', 'a size that fits into a map of 6 x 6', '7 x 7');
  refused({ postpool: 4 }, 'postpool', 'a size that fits into a map of 3 x 3', '4 x 4');
  refused({ dims: 3 }, 'dims', 'one of 1, 2', '3');
  refused(
    { kernel_sizes: [3, 3] },
    'kernel_sizes',
    'one spelling of kernelSizes',
    'both kernelSizes and kernel_sizes',
  );
});

test('an experiment says where the list stands', async () => {
  const text = `[bench]
name = "b"
seed = 0
first_run = 0
last_run = 0
[learningframework]
kind = "SpikingJelly"
[dataset]
kind = "Digits"
[[model]]
name = "one"
kind = "SCNN"
[model.params]
dims = 2
filters = [4, 4]
kernel_sizes = [3, 3]
paddings = [1, 1]
strides = [1, 1]
pool_sizes = [2, 2]
fc_units = []
neuron.kind = "IFNode"
`;
  const changed = async (from: string, to: string): Promise<string> => {
    try {
      await checkExperiment(text.replace(from, to), 'e.toml');
    } catch (error) {
      return (error as Error).message;
    }
    return 'no error';
  };
  assert.equal(await changed('none', ''), 'no error');
  assert.equal(
    await changed('pool_sizes = [2, 2]', 'pool_sizes = [2]'),
    'e.toml:19:14: model.0.params.pool_sizes: expected 2 values, one for each of filters, got 1 value',
  );
  assert.equal(
    await changed('kernel_sizes = [3, 3]', 'kernel_sizes = [3, [3, 3, 3]]'),
    'e.toml:16:20: model.0.params.kernel_sizes.1: expected an integer or [h, w], since dims = 2, got a list',
  );
  const { models } = await checkExperiment(text.replace('[2, 2]', '[2, 9]'), 'e.toml');
  assert.throws(
    () => models[0]?.build({ inputShape: [8, 8, 1], outputShape: [10] }),
    /^ConfigError: model\.0\.params\.pool_sizes\.1: expected a size that fits into a map of 4 x 4, got 9 x 9/,
  );
});

test('training steps in a scope leave nothing behind', () => {
  const options = { ...signal, gsp: false, batchNorm: true, dropouts: 0.2 };
  const model = new SCNN(options);
  setStepMode(model, 'm');
  assert.ok(model.layers.get('bn1') instanceof BatchNorm1d);
  assert.ok(model.layers.get('dropout1') instanceof Dropout);
  const step = (): void => {
    tidy(() => {
      resetNet(model);
      model.zeroGrad();
      const x = ones([2, 2, 16]).unsqueeze(0).expand([STEPS, 2, 2, 16]);
      model.forward(x).sum().backward();
    });
  };
  step();
  const before = memory().tensors;
  for (let i = 0; i < 10; i++) step();
  assert.equal(memory().tensors, before);
});
