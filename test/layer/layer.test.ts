import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, ShapeError } from '../../lib/errors.js';
import {
  Dropout,
  Dropout2d,
  multiStepForward,
  resetNet,
  seqToAnnForward,
  setStepMode,
} from '../../lib/layer/index.js';
import { IFNode } from '../../lib/neuron/index.js';
import { Conv2d, Linear, Module, Sequential, StepModule } from '../../lib/nn/index.js';
import { full, manualSeed, ones, type Tensor, zeros } from '../../lib/tensor/index.js';

test('setStepMode reaches every module that has a step mode, in fields and containers', () => {
  const net = new Sequential(new Linear(2, 2), new Sequential(new IFNode()), new IFNode());
  setStepMode(net, 'm');
  const modes = [...net.modules()].flatMap((module) =>
    module instanceof StepModule ? [module.stepMode] : [],
  );
  assert.deepEqual(modes, ['m', 'm', 'm']);
  assert.throws(() => setStepMode(net, 'x' as 's'), ConfigError);
});

test('resetNet resets modules that were added after the first call, and those of users', () => {
  class Counter extends Module {
    resets = 0;
    reset(): void {
      this.resets++;
    }
  }
  class Net extends Module {
    readonly counter: Counter = new Counter();
    readonly neurons: IFNode[] = [];
  }
  const net = new Net();
  resetNet(net);
  const node = new IFNode();
  net.neurons.push(node);
  node.forward(full([2], 0.5));
  resetNet(net);
  assert.equal(node.v, 0);
  assert.equal(net.counter.resets, 2);
});

test('multiStepForward steps, seqToAnnForward folds', () => {
  const node = new IFNode();
  const seen: number[][] = [];
  const look = (x: Tensor): Tensor => {
    seen.push([...x.shape]);
    return x;
  };
  const out = multiStepForward(full([4, 2], 0.5), [look, node]);
  assert.deepEqual(out.tolist(), [
    [0, 0],
    [1, 1],
    [0, 0],
    [1, 1],
  ]);
  assert.deepEqual(seen, [[2], [2], [2], [2]]);
  const conv = new Conv2d(1, 2, 2);
  assert.deepEqual(seqToAnnForward(ones([3, 2, 1, 4, 4]), [look, conv]).shape, [3, 2, 2, 3, 3]);
  assert.deepEqual(seen.at(-1), [6, 1, 4, 4]);
  assert.throws(() => multiStepForward(ones([0, 2]), node), ShapeError);
  assert.throws(() => seqToAnnForward(ones([3]), conv), ShapeError);
});

test('Dropout keeps one mask over time and calls until reset; 1 / (1 - p) scales it', () => {
  manualSeed(3);
  const layer = new Dropout(0.25);
  const first = layer.forward(ones([400])).tolist() as number[];
  assert.deepEqual(layer.forward(ones([400])).tolist(), first);
  const kept = first.filter((value) => value !== 0);
  assert.ok(kept.every((value) => Math.abs(value - 4 / 3) < 1e-6));
  assert.ok(kept.length > 260 && kept.length < 340, `${kept.length} of 400 kept`);
  layer.reset();
  assert.notDeepEqual(layer.forward(ones([400])).tolist(), first);
});

test('Dropout in step mode m drops the same inputs in every step', () => {
  manualSeed(4);
  const steps = new Dropout(0.5, { stepMode: 'm' }).forward(ones([3, 50])).unbind(0);
  assert.deepEqual(steps[1]?.tolist(), steps[0]?.tolist());
  assert.deepEqual(steps[2]?.tolist(), steps[0]?.tolist());
  const sum = steps[0]?.sum().item() as number;
  assert.ok(sum > 0 && sum < 100);
});

test('Dropout is the identity in evaluation, takes all or nothing, and carries gradients', () => {
  const x = ones([4], { requiresGrad: true });
  assert.equal(new Dropout(0.5).eval().forward(x), x);
  assert.deepEqual(new Dropout(1).forward(x).tolist(), [0, 0, 0, 0]);
  assert.deepEqual(new Dropout(0).forward(x).tolist(), [1, 1, 1, 1]);
  const layer = new Dropout(0.5);
  const y = layer.forward(x);
  y.sum().backward();
  assert.deepEqual(x.grad?.tolist(), y.tolist());
  assert.throws(() => new Dropout(1.5), TypeError);
});

test('Dropout2d drops whole channels, the same in every step', () => {
  manualSeed(6);
  const layer = new Dropout2d(0.5, { stepMode: 'm' });
  const y = layer.forward(ones([3, 4, 8, 2, 5]));
  const sums = y.sum([-2, -1]);
  const steps = sums.unbind(0).map((step) => step.tolist());
  assert.deepEqual(steps[1], steps[0]);
  assert.deepEqual(steps[2], steps[0]);
  const kept = (steps[0] as number[][]).flat();
  // 10 values of 1 / (1 - p) each, or none.
  assert.deepEqual([...new Set(kept)].sort(), [0, 20]);
  layer.stepMode = 's';
  assert.deepEqual(
    layer
      .forward(ones([4, 8, 2, 5]))
      .sum([-2, -1])
      .tolist(),
    steps[0],
  );
  assert.equal(new Dropout2d().p, 0.2);
  assert.throws(
    () => new Dropout2d(0.5).forward(ones([4, 8, 2])),
    /Dropout2d: argument 'x' must have the shape \[N, C, H, W\] in each step, got \[4,8,2\]/,
  );
});

test('Dropout draws a new mask for another batch shape, with one warning', async () => {
  const found: string[] = [];
  const listener = (warning: Error): void => {
    found.push(warning.message);
  };
  process.on('warning', listener);
  const layer = new Dropout(0.5);
  layer.forward(zeros([2, 3]));
  assert.deepEqual(layer.forward(ones([4, 3])).shape, [4, 3]);
  layer.forward(zeros([5, 3]));
  await new Promise(setImmediate);
  process.off('warning', listener);
  assert.equal(found.length, 1);
});
