import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { resetNet } from '../../lib/layer/index.js';
import { SCNN, SMLP } from '../../lib/models/index.js';
import { packageRoot } from '../../lib/native/platform.js';
import type { StateDict } from '../../lib/nn/index.js';
import type { SNN } from '../../lib/snn.js';
import { ones, stack, type Tensor } from '../../lib/tensor/index.js';
import { loadSafetensors } from '../../lib/training/index.js';
import { difference, golden, shaped } from '../nn/helpers.js';

type Name = 'smlp' | 'scnn';

interface Golden {
  readonly steps: number;
  readonly smlp: Outputs;
  readonly scnn: Outputs;
}

interface Outputs {
  readonly x: { readonly shape: readonly number[]; readonly values: readonly number[] };
  readonly y: readonly number[];
}

const file = golden<Golden>('torch-weights.json');

function weights(name: Name): Promise<StateDict> {
  return loadSafetensors(join(packageRoot(), 'test', 'golden', `torch-${name}.safetensors`));
}

function network(name: Name, stepMode: 's' | 'm'): SMLP | SCNN {
  const common = { outputShape: [3], timesteps: file.steps };
  if (name === 'smlp') {
    const neuron = { kind: 'IFNode', params: { v_reset: false, step_mode: stepMode } };
    return new SMLP({ ...common, inputShape: [12], units: [7, 6], neuron });
  }
  return new SCNN({
    ...common,
    inputShape: [6, 6, 2],
    dims: 2,
    filters: [4, 6],
    kernelSizes: [3, [3, 1]],
    paddings: [1, [1, 0]],
    strides: [1, 1],
    poolSizes: [2, 0],
    separables: [false, true],
    batchNorm: true,
    fcUnits: [8],
    neuron: { kind: 'LIFNode', params: { tau: 1.5, v_reset: 0, step_mode: stepMode } },
  });
}

function outputs(model: SNN, x: Tensor): Tensor {
  resetNet(model);
  const forward = (input: Tensor): Tensor => model.forward(input as never) as never;
  const all =
    model.stepMode === 'm'
      ? forward(x.unsqueeze(0).expand([file.steps, ...x.shape]))
      : stack(Array.from({ length: file.steps }, () => forward(x)));
  return all.mean(0);
}

for (const name of ['smlp', 'scnn'] as const) {
  for (const stepMode of ['s', 'm'] as const) {
    test(`${name}, step mode ${stepMode}: weights that PyTorch saved give its outputs`, async () => {
      const model = network(name, stepMode).eval();
      const { x, y } = file[name];
      const input = shaped(x.values, x.shape, 'float32');
      assert.ok(difference(outputs(model, input), y) > 0.01, 'the weights make no difference');
      assert.deepEqual(model.loadStateDict(await weights(name)), { missing: [], unexpected: [] });
      assert.ok(difference(outputs(model, input), y) < 1e-5);
    });
  }
}

test('what batch normalisation has tracked comes along, its count as int64', async () => {
  const state = await weights('scnn');
  const model = network('scnn', 'm');
  model.loadStateDict(state);
  const counts = Object.entries(model.stateDict()).filter(([name]) => name.endsWith('num_batches_tracked'));
  assert.deepEqual(
    counts.map(([name, value]) => [name, value.dtype, value.item()]),
    ['bn1', 'bn2_dw', 'bn2_pw'].map((name) => [`layers.${name}.num_batches_tracked`, 'int64', 3]),
  );
  assert.deepEqual(Object.keys(state).sort(), Object.keys(model.stateDict()).sort());
});

test('a file for another network is told by what differs, and nothing is copied', async () => {
  const model = network('scnn', 'm');
  const state = await weights('scnn');
  const { 'layers.bn1.running_var': _, 'layers.fc2.bias': __, ...rest } = state;
  assert.throws(() => model.loadStateDict({ ...rest, 'layers.fc3.bias': ones([3]) }), {
    name: 'TypeError',
    message:
      'SCNN.loadStateDict: the state dictionary lacks layers.bn1.running_var, layers.fc2.bias; ' +
      'SCNN has no layers.fc3.bias',
  });
  assert.throws(() => model.loadStateDict({ ...state, 'layers.conv1.weight': ones([4, 2, 5, 5]) }), {
    name: 'ShapeError',
    message: 'SCNN.loadStateDict: layers.conv1.weight has the shape [4,2,3,3], got [4,2,5,5]',
  });
  const inModule = Object.entries(state).map(([name, value]) => [`model.${name}`, value] as const);
  assert.throws(() => model.loadStateDict(new Map(inModule)), {
    name: 'TypeError',
    message: "SCNN.loadStateDict: its names begin with 'model.', those of SCNN do not",
  });
  const counts = [...model.namedBuffers()].filter(([name]) => name.endsWith('num_batches_tracked'));
  for (const [, count] of counts) assert.equal(count.item(), 0);
});
