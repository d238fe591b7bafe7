import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { type RunEvent, readExperiment, runExperiment } from '../../lib/experiment/index.js';
import { resetNet } from '../../lib/layer/index.js';
import { packageRoot } from '../../lib/native/platform.js';
import { Linear } from '../../lib/nn/index.js';
import {
  crossEntropyLoss,
  cudaDeviceCount,
  type Device,
  manualSeed,
  memory,
  mseLoss,
  randn,
  type Tensor,
  tensor,
  tidy,
} from '../../lib/tensor/index.js';
import * as training from '../../lib/training/index.js';
import { largestDifference } from '../tensor/helpers.js';
import { network, samples, weightsOf } from '../training/helpers.js';
import { fullOptions } from '../training/optimizer-cases.js';
import { device, skip } from './device.js';

const folder = mkdtempSync(join(tmpdir(), 'spikenode-device-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const accelerator = device === 'cpu' ? 'cpu' : 'gpu';
const here = `--learningframework.params.accelerator=${accelerator}`;
const digits = join(packageRoot(), 'examples', 'digits.toml');

type OptimizerClass = new (
  parameters: Iterable<Tensor>,
  options: object,
) => { step(): void; zeroGrad(): void };

for (const [name, options] of Object.entries(fullOptions)) {
  test(`${name}: three steps are the CPU's`, { skip }, () => {
    const run = (on: Device): number[] => {
      manualSeed(2);
      const layer = new Linear(5, 4).to({ dtype: 'float64', device: on });
      const x = randn([8, 5], { dtype: 'float64' }).to(on);
      const target = randn([8, 4], { dtype: 'float64' }).to(on);
      const optimizer = new (training as unknown as Record<string, OptimizerClass>)[name]!(
        layer.parameters(),
        { lr: 0.01, ...options },
      );
      for (let step = 0; step < 3; step++) {
        optimizer.zeroGrad();
        mseLoss(layer.forward(x), target).backward();
        optimizer.step();
      }
      return [...layer.parameters()].flatMap((own) => [...(own.toTypedArray() as Float64Array)]);
    };
    const difference = largestDifference(run(device), run('cpu'));
    assert.ok(difference < 1e-9, `${difference}`);
  });
}

test('a scaled step is the plain one, and one that overflows is left out', { skip }, async () => {
  const run = (scaled: boolean): Float32Array => {
    manualSeed(2);
    const layer = new Linear(5, 4).to(device);
    const optimizer = new training.SGD(layer.parameters(), { lr: 0.1 });
    const loss = mseLoss(layer.forward(randn([8, 5]).to(device)), randn([8, 4]).to(device));
    if (!scaled) {
      loss.backward();
      optimizer.step();
      return layer.weight.toTypedArray() as Float32Array;
    }
    const scaler = new training.GradScaler({ initScale: 1024 });
    scaler.scale(loss).backward();
    scaler.step(optimizer);
    scaler.update();
    const once = layer.weight.toTypedArray() as Float32Array;
    optimizer.zeroGrad();
    scaler
      .scale(
        layer
          .forward(randn([8, 5]).to(device))
          .sum()
          .mul(Infinity),
      )
      .backward();
    scaler.step(optimizer);
    scaler.update();
    assert.deepEqual(layer.weight.toTypedArray(), once);
    assert.equal(scaler.getScale(), 512);
    return once;
  };
  assert.ok(largestDifference(run(true), run(false)) < 1e-6);
});

test("the example of the README reaches its accuracy with the experiment's accelerator", {
  skip,
}, async (t) => {
  const events: RunEvent[] = [];
  const [result] = await runExperiment(await readExperiment(digits, [here]), {
    folder: join(folder, 'digits'),
    report: (event) => events.push(event),
  });
  const start = events.find((event) => event.event === 'start');
  assert.equal(start?.event === 'start' && start.device, device === 'cpu' ? 'cpu' : 'cuda:0');
  const accuracy = result?.metrics['test_acc'] ?? 0;
  t.diagnostic(`test accuracy on ${device}: ${(100 * accuracy).toFixed(2)} %`);
  assert.ok(accuracy >= 0.95, `${accuracy}`);
});

test('a GPU that is not there is an error of the configuration', {
  skip: device === 'cpu' || skip,
}, async () => {
  const count = cudaDeviceCount();
  const overrides = [here, `--learningframework.params.devices=[${count}]`];
  const experiment = await readExperiment(digits, overrides);
  await assert.rejects(
    runExperiment(experiment, { folder: join(folder, 'beyond') }),
    (error) => error instanceof ConfigError && error.path.join('.') === 'learningframework.params.devices',
  );
});

for (const precision of [32, 'bf16-mixed', '16-mixed'] as const) {
  test(`fit, precision ${precision}: learns, and goes on from a checkpoint to the same weights`, {
    skip,
  }, async () => {
    const data = samples(96);
    const options = { batchSize: 16, seed: 1, optimizer: { kind: 'Adam', params: { lr: 0.02 } } };
    const framework = { params: { precision } };
    const own = join(folder, `fit-${precision}`);
    const whole = network('m').to(device);
    const { epochs } = await training.fit(whole, data, { ...options, framework, epochs: 4 });
    assert.ok((epochs.at(-1)?.['train_loss'] ?? Infinity) < (epochs[0]?.['train_loss'] ?? 0));
    const checkpoint = { folder: own };
    await training.fit(network('m').to(device), data, { ...options, framework, epochs: 2, checkpoint });
    const resumed = network('m', 9).to(device);
    await training.fit(resumed, data, { ...options, framework, epochs: 4, checkpoint, resume: true });
    assert.deepEqual(weightsOf(resumed), weightsOf(whole));
  });
}

test('200 steps leave as many bytes alive as the first ones', { skip }, async (t) => {
  const net = network('m').to(device);
  const optimizer = new training.Adam(net.parameters(), { lr: 0.01 });
  const live = (): number => memory().bytes + memory().devices.reduce((sum, { bytes }) => sum + bytes, 0);
  const step = async (): Promise<void> => {
    tidy(() => {
      optimizer.zeroGrad();
      resetNet(net);
      const x = randn([3, 8, 1, 4]).to(device);
      const loss = crossEntropyLoss(
        net.forward(x).mean(0),
        tensor([0n, 1n, 2n, 0n, 1n, 2n, 0n, 1n], { device }),
      );
      loss.backward();
      optimizer.step();
    });
    await new Promise((resolve) => setImmediate(resolve));
  };
  for (let i = 0; i < 20; i++) await step();
  const before = live();
  for (let i = 0; i < 200; i++) await step();
  t.diagnostic(`${before} bytes alive after 20 steps, ${live()} after 220`);
  assert.equal(live(), before);
});
