import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { TorchError } from '../../lib/errors.js';
import {
  cudaDeviceCount,
  type Device,
  emptyCache,
  Generator,
  getRngState,
  libtorchVersion,
  manualSeed,
  memory,
  rand,
  resetPeakMemory,
  setRngState,
  synchronize,
  tidy,
  zeros,
} from '../../lib/tensor/index.js';
import { device, isPresent, skip } from './device.js';

const onGpu = device === 'cpu' ? 'only a GPU has it' : skip;

test('a CUDA device is present', { skip }, (t) => {
  assert.ok(isPresent, 'SPIKENODE_TEST_DEVICE=cuda, but no CUDA device is present');
  const query = ['--query-gpu=name,compute_cap,driver_version,memory.total', '--format=csv,noheader'];
  const { stdout, status } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
  const gpus = status === 0 ? stdout.trim().split('\n').join('; ') : 'nvidia-smi does not run';
  t.diagnostic(`libtorch ${libtorchVersion()} on ${device}: ${gpus}`);
});

test('a device without a number is the first, and one that is not there is an error', { skip: onGpu }, () => {
  assert.equal(zeros([1], { device }).device, 'cuda:0');
  const beyond: Device = `cuda:${cudaDeviceCount()}`;
  const missing = (name: string): object => ({
    name: 'TorchError',
    message: new RegExp(`^${name}: no ${beyond} device is present`),
  });
  assert.throws(() => synchronize(beyond), missing('synchronize'));
  assert.throws(() => getRngState(beyond), missing('getRngState'));
  assert.throws(() => new Generator({ device: beyond }), missing('Generator'));
  assert.throws(() => zeros([1], { device: beyond }), TorchError);
});

test('a seed gives the same numbers, and a state goes on from where it was taken', { skip }, () => {
  const draw = (): number[] => [...(rand([8], { device }).toTypedArray() as Float32Array)];
  manualSeed(5);
  const first = draw();
  const state = getRngState(device);
  const second = draw();
  setRngState(state, device);
  assert.deepEqual(draw(), second);
  manualSeed(5);
  assert.deepEqual(draw(), first);
  assert.notDeepEqual(first, second);
  const own = new Generator({ device, seed: 5 });
  assert.deepEqual([...(rand([8], { device, generator: own }).toTypedArray() as Float32Array)], first);
});

test('memory() counts what lies on the device, and its peak', { skip: onGpu }, () => {
  const [{ bytes: before = 0 } = {}] = memory().devices;
  tidy(() => {
    const x = zeros([1 << 20], { device });
    resetPeakMemory();
    zeros([1 << 20], { device }).dispose();
    const [own] = memory().devices;
    assert.equal((own?.bytes ?? 0) - before, 4 << 20);
    assert.equal((own?.peakBytes ?? 0) - before, 8 << 20);
    assert.ok((own?.cachedBytes ?? 0) >= 4 << 20);
    assert.equal(x.sum().item(), 0);
  });
  emptyCache();
  const [after] = memory().devices;
  assert.equal(after?.bytes, before);
});

test('work that was given to the device is done after synchronize', { skip }, () => {
  const x = rand([512, 512], { device });
  const y = x.matmul(x);
  synchronize(device);
  assert.equal(y.device.startsWith(device), true);
});
