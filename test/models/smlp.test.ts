import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { resetNet } from '../../lib/layer/index.js';
import { models, registerModel, SMLP, type SMLPOptions } from '../../lib/models/index.js';
import { SNN } from '../../lib/snn.js';
import { memory, ones, tidy } from '../../lib/tensor/index.js';

const BASE = {
  inputShape: [8, 8, 1],
  outputShape: [10],
  timesteps: 4,
  units: [12],
  neuron: { kind: 'IFNode' },
};

test('layers have the names of the original, at any depth', () => {
  const names = (units: number[]): string[] => [...new SMLP({ ...BASE, units }).layers.keys()];
  assert.deepEqual(names([]), ['flatten1', 'fc1']);
  assert.deepEqual(names([5]), ['flatten1', 'fc1', 'neuron1', 'fc2']);
  assert.deepEqual(names([5, 6]), ['flatten1', 'fc1', 'neuron1', 'fc2', 'neuron2', 'fc3']);
});

test('images are flattened, in both step modes', () => {
  const single = new SMLP(BASE);
  assert.deepEqual(single.forward(ones([2, 1, 8, 8])).shape, [2, 10]);
  const multi = new SMLP({ ...BASE, neuron: { kind: 'IFNode', params: { step_mode: 'm' } } });
  assert.deepEqual(multi.forward(ones([4, 2, 1, 8, 8])).shape, [4, 2, 10]);
  assert.deepEqual(multi.forward(ones([4, 2, 64])).shape, [4, 2, 10]);
});

test('units are checked', () => {
  for (const [units, path] of [
    [undefined, ['units']],
    [7, ['units']],
    [
      [8, 0],
      ['units', 1],
    ],
    [
      [8, '4'],
      ['units', 1],
    ],
  ] as const) {
    assert.throws(
      () => new SMLP({ ...BASE, units } as unknown as SMLPOptions),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.deepEqual(error.path, path);
        return true;
      },
    );
  }
  assert.throws(() => new SMLP({ ...BASE, unit: [3] } as SMLPOptions), /nearest: units/);
});

test('models are found by kind; users register their own', () => {
  assert.equal(models.find('SMLP', []), SMLP);
  class Mine extends SMLP {}
  registerModel('Mine', Mine);
  assert.equal(models.find('Mine', []), Mine);
  assert.ok(new Mine(BASE) instanceof SNN);
  assert.throws(() => registerModel('SMLP', Mine), ConfigError);
  assert.throws(() => registerModel('None', {} as typeof SMLP), ConfigError);
});

test('training steps in a scope leave nothing behind', () => {
  const model = new SMLP({ ...BASE, neuron: { kind: 'LIFNode', params: { step_mode: 'm' } } });
  const step = (): void => {
    tidy(() => {
      resetNet(model);
      model.zeroGrad();
      model
        .forward(ones([4, 2, 64]))
        .sum()
        .backward();
    });
  };
  step();
  const before = memory().tensors;
  for (let i = 0; i < 10; i++) step();
  assert.equal(memory().tensors, before);
});
