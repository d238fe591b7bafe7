import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { models } from '../../lib/models/index.js';
import { LIFNode } from '../../lib/neuron/index.js';
import { Linear } from '../../lib/nn/index.js';
import { resolveNeuron, SNN } from '../../lib/snn.js';

const loaded = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes('libtorch_cpu');

test('libtorch is loaded by the first layer with weights, not by imports, checks and neurons', {
  skip: process.platform !== 'linux' && 'needs /proc',
}, () => {
  const neuron = { kind: 'LIFNode', params: { surrogate_function: 'ATan' } };
  resolveNeuron(neuron, []);
  assert.ok(models.has('SMLP'));
  assert.ok(
    new SNN({ inputShape: [3], outputShape: [2], timesteps: 2, neuron }).createNeuron() instanceof LIFNode,
  );
  assert.equal(loaded(), false);
  new Linear(2, 2);
  assert.equal(loaded(), true);
});
