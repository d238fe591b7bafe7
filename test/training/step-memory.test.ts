import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resetNet } from '../../lib/layer/index.js';
import { SMLP } from '../../lib/models/index.js';
import { BatchNorm2d, Conv2d, Flatten, type Layer, Linear, MaxPool2d } from '../../lib/nn/index.js';
import { SNN, type SNNOptions } from '../../lib/snn.js';
import { memory, ones, resetPeakMemory, Scope, type Tensor } from '../../lib/tensor/index.js';
import {
  fit,
  type OptimizerConfig,
  resolveOptimizer,
  SpikingJelly,
  SpikingJellyMultiStep,
} from '../../lib/training/index.js';
import { predictMemory } from '../../lib/training/memory-model.js';
import { type MemoryQuestion, measureMemory, type StepMemory } from '../../lib/training/step-memory.js';
import { collectGarbage } from '../tensor/helpers.js';

type StepMode = 's' | 'm';

function options(stepMode: StepMode, inputShape: readonly number[], timesteps: number): SNNOptions {
  const params = { step_mode: stepMode, surrogate_function: 'ATan' };
  return { inputShape, outputShape: [10], timesteps, neuron: { kind: 'LIFNode', params } };
}

class ConvNet extends SNN {
  readonly layers: Layer[];

  constructor(stepMode: StepMode, timesteps: number) {
    super(options(stepMode, [20, 20, 1], timesteps));
    this.layers = [
      new Conv2d(1, 8, 3, { padding: 1, stepMode }),
      new BatchNorm2d(8, { stepMode }),
      this.createNeuron(),
      new MaxPool2d(2, { stepMode }),
      new Conv2d(8, 12, 3, { padding: 1, stepMode }),
      new BatchNorm2d(12, { stepMode }),
      this.createNeuron(),
      new MaxPool2d(2, { stepMode }),
      new Flatten({ stepMode }),
      new Linear(300, 10, { stepMode }),
    ];
  }

  override forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer) => layer.forward(y), x);
  }
}

function question(
  stepMode: StepMode,
  build: () => SNN,
  batchSize: number,
  optimizer: OptimizerConfig | null = { kind: 'Adam', params: {} },
): MemoryQuestion {
  const framework = stepMode === 'm' ? new SpikingJellyMultiStep() : new SpikingJelly();
  return { build, batchSize, framework, optimizer: optimizer && resolveOptimizer(optimizer, []) };
}

// `exact` parts to the byte, the others within 10 %, where they are not next to nothing beside the peak.
function compare(measured: StepMemory, predicted: StepMemory, parts: readonly (keyof StepMemory)[]): void {
  const exact: readonly (keyof StepMemory)[] = [
    'parameters',
    'buffers',
    'gradients',
    'optimizer',
    'states',
    'batch',
  ];
  const both = JSON.stringify({ measured, predicted });
  for (const part of exact) assert.equal(predicted[part], measured[part], `${part} ${both}`);
  for (const part of parts) {
    const tolerance = Math.max(0.1 * measured[part], 0.02 * measured.peak);
    assert.ok(Math.abs(predicted[part] - measured[part]) <= tolerance, `${part} ${both}`);
  }
}

for (const stepMode of ['m', 's'] as const) {
  test(`memory of a perceptron: predicted and measured agree, step mode ${stepMode}`, () => {
    for (const [units, timesteps, batchSize, kind] of [
      [[128], 4, 64, 'Adam'],
      [[512], 4, 32, 'AdamW'],
      [[200, 100], 8, 16, 'SGD'],
      [[], 2, 50, 'Adam'],
    ] as const) {
      const build = (): SNN => new SMLP({ ...options(stepMode, [14, 14, 1], timesteps), units });
      const own = question(stepMode, build, batchSize, { kind, params: { lr: 0.1 } });
      const [measured, predicted] = [measureMemory(own), predictMemory(own)];
      const parts = ['activations', 'peak', ...(stepMode === 'm' ? (['workspace'] as const) : [])] as const;
      compare(measured.training!, predicted.training!, parts);
      compare(measured.evaluation, predicted.evaluation, ['activations', 'peak']);
      const weights = 4 * 14 * 14 * (units[0] ?? 10);
      assert.ok(measured.training!.gradients >= weights && measured.evaluation.gradients === 0);
      assert.equal(measured.training!.optimizer, kind === 'SGD' ? 0 : 2 * measured.training!.parameters);
    }
  });

  test(`memory of a convolutional network: predicted and measured agree, step mode ${stepMode}`, () => {
    const own = question(stepMode, () => new ConvNet(stepMode, 4), 24);
    const [measured, predicted] = [measureMemory(own), predictMemory(own)];
    compare(measured.training!, predicted.training!, ['activations', 'peak']);
    compare(measured.evaluation, predicted.evaluation, ['activations', 'peak']);
    assert.ok(measured.training!.activations > measured.evaluation.activations);
  });
}

test('what was measured leaves nothing behind, and without an optimizer there is no training', () => {
  const build = (): SNN => new SMLP({ ...options('m', [14, 14, 1], 4), units: [32] });
  const before = memory();
  const first = measureMemory(question('m', build, 8));
  predictMemory(question('m', build, 8));
  const after = memory();
  assert.deepEqual([after.tensors, after.bytes], [before.tensors, before.bytes]);
  assert.deepEqual(measureMemory(question('m', build, 8)), first);
  const none = question('m', build, 8, null);
  assert.deepEqual([measureMemory(none).training, predictMemory(none).training], [null, null]);
});

test('fit takes what was measured, the data set and two batches ahead', async () => {
  const build = (): SNN => new SMLP({ ...options('m', [14, 14, 1], 4), units: [128] });
  const length = 128;
  const x = new Float32Array(length * 196).fill(0.5);
  const data = { x, y: new Int32Array(length), shape: [14, 14, 1], classes: 10, length };
  const { training } = measureMemory(question('m', build, 32));
  const model = build();
  await collectGarbage();
  const before = memory();
  resetPeakMemory();
  await fit(model, data, { epochs: 1, batchSize: 32, optimizer: { kind: 'Adam', params: {} } });
  const peak = memory().peakBytes - before.bytes;
  const expected = training!.peak - training!.parameters + x.byteLength + 2 * 32 * 196 * 4;
  assert.ok(Math.abs(peak - expected) < 0.1 * expected, `${peak} ${expected}`);
  assert.equal(memory().bytes, before.bytes);
});

// Sizes that the allocator does not round: a tensor [T, N] of a layer has 128 KiB.
const sequence = 128 << 10;
for (const stepMode of ['m', 's'] as const) {
  test(`a step keeps one tensor [T, N] for a neuron layer besides the spikes, step mode ${stepMode}`, () => {
    const layers = 3;
    const [steps, batch, width] = [4, 32, 256];
    assert.equal(4 * steps * batch * width, sequence);
    const units = new Array<number>(layers).fill(width);
    const model = new SMLP({ ...options(stepMode, [4], steps), units });
    const framework = stepMode === 'm' ? new SpikingJellyMultiStep() : new SpikingJelly();
    using outer = new Scope();
    const x = outer.run(() => ones([batch, 4]));
    const before = memory();
    const inner = new Scope();
    const loss = outer.run(() => inner.run(() => framework.forward(model, x)).sum());
    const forward = memory();
    // What a step makes: for each layer the currents, the spikes and the charged membrane, and its states, which are
    // the first and the last one in step mode m, one more for each step in step mode s. In step mode m the currents of
    // the first layer are those of one step.
    const states = (layers * sequence * (stepMode === 'm' ? 2 : 1 + steps)) / steps;
    const saved = stepMode === 'm' ? sequence - sequence / steps : 0;
    const made = forward.allocatedBytes - before.allocatedBytes - states + saved;
    // The scope ends, so that what backward needs is all that is left.
    inner.dispose();
    const kept = memory().owners.graphs.bytes - before.owners.graphs.bytes;
    const slack = sequence / 2;
    assert.ok(made >= 3 * layers * sequence && made <= 3 * layers * sequence + slack, `made ${made}`);
    assert.ok(kept >= 2 * layers * sequence && kept <= 2 * layers * sequence + slack, `kept ${kept}`);
    const start = memory();
    loss.backward();
    const backward = memory();
    assert.equal(backward.owners.graphs.bytes, before.owners.graphs.bytes);
    // Backward makes one sequence a layer, the gradient of its spikes, and the gradient of its state; the gradient of
    // its currents is in the membrane.
    const passed = backward.allocatedBytes - start.allocatedBytes - backward.owners.gradients.bytes;
    if (stepMode === 'm')
      assert.ok(passed <= layers * (sequence + sequence / steps) + slack, `passed ${passed}`);
    resetNet(model);
    for (const parameter of model.parameters()) parameter.dispose();
  });
}
