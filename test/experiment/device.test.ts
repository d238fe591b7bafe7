import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { deviceNotes, deviceOf } from '../../lib/experiment/device.js';
import { cudaIsAvailable } from '../../lib/tensor/index.js';

// Where a GPU is, test/cuda has the rest.
const skip = cudaIsAvailable() && 'a CUDA device is present';

test('what is asked for and not done is a note', () => {
  const about = (accelerator: unknown, devices: unknown): number =>
    deviceNotes({ accelerator, devices }).length;
  assert.deepEqual(deviceNotes({}), []);
  for (const accelerator of ['auto', 'cpu', 'gpu', 'cuda']) assert.equal(about(accelerator, 'auto'), 0);
  assert.match(deviceNotes({ accelerator: 'mps' })[0] ?? '', /accelerator: "mps" is accepted; .*\("gpu"\)/);
  for (const devices of [1, '1', [0], [3], '2,']) assert.equal(about('gpu', devices), 0, String(devices));
  for (const devices of [2, -1, '3', [0, 1], '0, 1']) assert.equal(about('gpu', devices), 1, String(devices));
});

test('without a GPU the CPU is used unless a GPU is asked for', { skip }, () => {
  assert.equal(deviceOf({}), 'cpu');
  assert.equal(deviceOf({ accelerator: 'auto', devices: [3] }), 'cpu');
  assert.equal(deviceOf({ accelerator: 'mps' }), 'cpu');
  for (const accelerator of ['gpu', 'cuda']) {
    assert.throws(
      () => deviceOf({ accelerator }),
      (error) =>
        error instanceof ConfigError &&
        error.path.join('.') === 'framework.params.accelerator' &&
        /"cpu" or "auto" where libtorch finds no CUDA device/.test(error.message),
    );
  }
});
