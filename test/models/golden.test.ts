import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { models, SCNN, type SCNNOptions } from '../../lib/models/index.js';
import { neurons } from '../../lib/snn.js';
import { tidy } from '../../lib/tensor/index.js';
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

test('models are found by kind', () => {
  assert.deepEqual(models.names().slice(0, 2), ['SMLP', 'SCNN']);
});
