import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goldenTests } from '../neuron/golden-cases.js';
import { matrixTests } from '../neuron/matrix-cases.js';
import { cudaIsAvailable, lif, manualSeed, rand, randn, type Tensor, zeros } from '../tensor/helpers.js';

// The CPU tests' bodies on a GPU. Without one they are skipped; with SPIKENODE_TEST_DEVICE=cuda that is a failure.
const required = process.env['SPIKENODE_TEST_DEVICE'] === 'cuda';
const present = cudaIsAvailable();
const skip = present || required ? false : 'no CUDA device is present';

test('a CUDA device is present', { skip }, () => {
  assert.ok(present, 'SPIKENODE_TEST_DEVICE=cuda, but no CUDA device is present');
});

goldenTests('cuda', skip);
matrixTests('cuda', skip);

for (const surrogate of ['ATan', 'PiecewiseQuadratic']) {
  test(`CPU and GPU give the same bits: ${surrogate}`, { skip }, () => {
    const run = (device: 'cpu' | 'cuda'): (readonly number[])[] => {
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
    assert.deepEqual(run('cuda'), run('cpu'));
    assert.equal(zeros([1], { device: 'cuda' }).device, 'cuda:0');
  });
}
