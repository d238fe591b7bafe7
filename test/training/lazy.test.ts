import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LIFNode } from '../../lib/neuron/index.js';
import { resolveFramework, resolveOptimizer } from '../../lib/training/index.js';
import { network } from './helpers.js';

const loaded = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes('libtorch_cpu');

test('libtorch is loaded neither by imports nor by checks of a configuration', {
  skip: process.platform !== 'linux' && 'needs /proc',
}, () => {
  const scheduler = { kind: 'CosineAnnealingLR', params: { T_max: 3 } };
  resolveOptimizer({ kind: 'AdamW', params: { lr: 0.1 }, scheduler }, []);
  resolveFramework({ params: { loss: 'mse', metrics: ['acc'] } }, 'm', []).create();
  new LIFNode();
  assert.equal(loaded(), false);
  network();
  assert.equal(loaded(), true);
});
