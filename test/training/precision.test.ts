import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BaseNode } from '../../lib/neuron/index.js';
import { BatchNorm2d, Conv2d, Flatten, Linear, Sequential } from '../../lib/nn/index.js';
import { SNN } from '../../lib/snn.js';
import { manualSeed, type Tensor } from '../../lib/tensor/index.js';
import { evaluate, fit, type Precision } from '../../lib/training/index.js';
import { samples } from './helpers.js';

class Net extends SNN {
  readonly layers: Sequential;

  constructor(stepMode: 's' | 'm') {
    const params = { step_mode: stepMode, detach_reset: true, surrogate_function: 'ATan' };
    super({
      inputShape: [4, 4, 1],
      outputShape: [3],
      timesteps: 3,
      neuron: { kind: 'ParametricLIFNode', params },
    });
    const mode = { stepMode };
    this.layers = new Sequential(
      new Conv2d(1, 4, 3, { padding: 1, ...mode }),
      new BatchNorm2d(4, mode),
      this.createNeuron(),
      new Flatten(mode),
      new Linear(64, 3, mode),
    );
  }

  override forward(x: Tensor): Tensor {
    return this.layers.forward(x);
  }
}

const options = { epochs: 6, batchSize: 16, seed: 1, optimizer: { kind: 'Adam', params: { lr: 0.02 } } };
const data = samples(128, 1, [4, 4, 1]);

for (const stepMode of ['s', 'm'] as const) {
  for (const [precision, dtype] of [
    ['bf16-mixed', 'bfloat16'],
    ['16-mixed', 'float16'],
  ] as const) {
    test(`${precision}, step mode ${stepMode}: neurons see ${dtype}, weights stay float32, the network learns`, async () => {
      const run = async (chosen: Precision): Promise<{ loss: number[]; seen: Set<string>; model: Net }> => {
        manualSeed(0);
        const model = new Net(stepMode);
        const seen = new Set<string>();
        for (const module of model.modules()) {
          if (!(module instanceof BaseNode)) continue;
          module.registerForwardHook((node, [x], y) => {
            seen.add(
              `${(x as Tensor).dtype} ${(y as Tensor).dtype} ${((node as BaseNode).v as Tensor).dtype}`,
            );
            return undefined;
          });
        }
        const framework = { params: { precision: chosen } };
        const { epochs } = await fit(model, data, { ...options, framework });
        const measured = await evaluate(model, data, { framework });
        assert.ok((measured['acc'] as number) > 0.9, `${measured['acc']}`);
        return { loss: epochs.map((epoch) => epoch['train_loss'] as number), seen, model };
      };
      const mixed = await run(precision);
      const single = await run(32);
      assert.deepEqual([...mixed.seen], [`${dtype} ${dtype} float32`]);
      assert.deepEqual([...single.seen], ['float32 float32 float32']);
      for (const parameter of mixed.model.parameters()) assert.equal(parameter.dtype, 'float32');
      assert.notDeepEqual(mixed.loss, single.loss);
      // The first steps of float16 may be skipped while the scale comes down.
      assert.ok(Math.abs(mixed.loss.at(-1)! - single.loss.at(-1)!) < 0.1, `${mixed.loss} ${single.loss}`);
    });
  }
}
