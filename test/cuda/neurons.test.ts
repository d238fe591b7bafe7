import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goldenTests } from '../neuron/golden-cases.js';
import { matrixTests } from '../neuron/matrix-cases.js';
import { type Device, lif, manualSeed, rand, randn, type Tensor } from '../tensor/helpers.js';
import { device, skip } from './device.js';

// The CPU tests' bodies on a GPU.
goldenTests(device, skip);
matrixTests(device, skip);

for (const surrogate of ['ATan', 'PiecewiseQuadratic']) {
  test(`CPU and GPU give the same bits: ${surrogate}`, { skip }, () => {
    const run = (device: Device): (readonly number[])[] => {
      manualSeed(8);
      const x = randn([16, 1000]).to(device);
      const v = rand([1000]).to(device);
      x.requiresGrad = true;
      v.requiresGrad = true;
      const [s, last] = lif(x.mul(1), v.mul(1), { surrogate, tau: 1.7 });
      s.sum().add(last.sum()).backward();
      const all = [s, last, x.grad as Tensor, v.grad as Tensor];
      return all.map((t) => Array.from(t.toTypedArray() as Float32Array));
    };
    assert.deepEqual(run(device), run('cpu'));
  });
}
