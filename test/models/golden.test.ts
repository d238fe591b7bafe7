import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { models, SCNN, type SCNNOptions, type SMLPOptions } from '../../lib/models/index.js';
import { neurons } from '../../lib/snn.js';
import {
  crossEntropyLoss,
  manualSeed,
  rand,
  stack,
  type Tensor,
  tensor,
  tidy,
} from '../../lib/tensor/index.js';
import {
  build,
  type Case,
  checkBackward,
  checkPass,
  file,
  filled,
  filledTensor,
  leaves,
  run,
  type Structure,
} from './golden-cases.js';

test('the golden file has its networks, and the fill rule gives its example', () => {
  const count = (model: string): number => file.cases.filter((entry) => entry.model === model).length;
  assert.deepEqual([count('SMLP'), count('SCNN')], [8, 11]);
  const { name, scale, offset, values } = file.fill.example;
  assert.deepEqual(filled(name, values.length, scale, offset), values);
});

for (const entry of file.cases) {
  // Where the original has a defect that we do not share, its repaired numbers count.
  const { eval: evaluation, train } = (entry.repaired ?? entry) as Required<Case>;
  const skip = neurons.has(entry.neuron.kind) ? false : `there is no ${entry.neuron.kind}`;
  const ways = entry.framework === 'SpikingJellyMultiStep' ? [false, true] : [false];

  test(`${entry.id}: layers are those of the original`, { skip }, () => {
    const modules = entry.modules ?? entry.repaired?.modules;
    if (modules) assert.deepEqual(leaves(build(entry)), modules);
  });

  for (const expanded of ways) {
    const how = expanded ? ', the input expanded in time' : '';
    test(`${entry.id}: evaluation equals the original${how}`, { skip }, () => {
      const model = build(entry).eval();
      checkPass(run(model, entry, filledTensor(entry.input), expanded), evaluation, entry.tolerance);
    });

    test(`${entry.id}: training equals the original${how}`, { skip }, () => {
      const model = build(entry);
      const x = filledTensor(entry.input);
      x.requiresGrad = true;
      const found = run(model, entry, x, expanded);
      checkPass(found, train, entry.tolerance);
      found.loss.backward();
      checkBackward(model, x, train, entry.tolerance);
    });
  }
}

function optionsOf({ input_shape: inputShape, output_shape: outputShape, params }: Structure): SCNNOptions {
  return { inputShape, outputShape, ...params } as unknown as SCNNOptions;
}

test('SCNN: sample configurations give the layers, parameters and keys of the original', () => {
  const sound = file.structures.filter(({ defects }) => defects === undefined);
  assert.equal(sound.length, 11);
  for (const entry of sound) {
    tidy(() => {
      const model = new SCNN(optionsOf(entry));
      assert.deepEqual(leaves(model), entry.layers);
      const state = Object.entries(model.stateDict()).map(([key, value]) => [key, [...value.shape]]);
      assert.deepEqual(state, entry.state_dict);
      let count = 0;
      for (const parameter of model.parameters()) count += parameter.numel;
      assert.equal(count, entry.n_params);
    });
  }
});

test('SCNN: sample configurations with too few dropouts name the list instead of dropping layers', () => {
  const short = file.structures.filter(({ defects }) => defects !== undefined);
  assert.equal(short.length, 6);
  for (const entry of short) {
    assert.throws(
      () => new SCNN(optionsOf(entry)),
      (error: unknown) => error instanceof ConfigError && error.path[0] === 'dropouts',
    );
  }
});

// Sums of the norms of all gradients, and the losses, as the original printed them.
const smoke: readonly [string, SMLPOptions | SCNNOptions, loss: number, gradients: number][] = [
  ['SMLP', smokeSmlp('IFNode', { v_reset: false, detach_reset: true }), 1.496488, 1.010909],
  ['SMLP', smokeSmlp('LIFNode', { v_threshold: 0.7 }), 1.553413, 0.41332],
  ['SCNN', smokeScnn('s'), 1.720304, 6.406082],
  ['SCNN', smokeScnn('m'), 1.704226, 6.526633],
];

function smokeSmlp(kind: string, params: object): SMLPOptions {
  return {
    inputShape: [12],
    outputShape: [5],
    timesteps: 4,
    units: [16, 8],
    neuron: { kind, params: { ...params } },
  };
}

function smokeScnn(step_mode: 's' | 'm'): SCNNOptions {
  return {
    inputShape: [12, 12, 2],
    outputShape: [5],
    dims: 2,
    filters: [4, 6],
    kernelSizes: [3, 3],
    paddings: [1, 1],
    strides: [1, 1],
    poolSizes: [2, 0],
    fcUnits: [10],
    batchNorm: true,
    neuron: { kind: 'IFNode', params: { v_reset: false, detach_reset: true, step_mode } },
  };
}

for (const [kind, options, loss, gradients] of smoke) {
  test(`${kind}: seeds give the weights of the original, and its loss ${loss} and gradients`, () => {
    manualSeed(0);
    const model = new (models.find(kind, []))(options);
    manualSeed(1);
    const [channels, ...map] = [...options.inputShape].reverse();
    const x = rand([3, channels as number, ...map]).mul(2);
    const forward = (input: Tensor): Tensor => model.forward(input as never) as never;
    const steps = Array.from({ length: 4 }, () => x);
    const seq =
      model.stepMode === 'm' ? forward(x.unsqueeze(0).expand([4, ...x.shape])) : stack(steps.map(forward));
    const found = crossEntropyLoss(seq.mean(0), tensor([0n, 1n, 2n]));
    found.backward();
    const norms = [...model.parameters()].map((parameter) => parameter.grad?.norm().item() as number);
    assert.ok(Math.abs((found.item() as number) - loss) < 2e-6);
    assert.ok(Math.abs(norms.reduce((a, b) => a + b, 0) - gradients) < 1e-5 * gradients);
  });
}

test('models are found by kind', () => {
  assert.deepEqual(models.names().slice(0, 2), ['SMLP', 'SCNN']);
});
