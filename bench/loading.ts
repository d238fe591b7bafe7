/** How long training waits for its data: MNIST's files if SPIKENODE_MNIST names their folder, else bytes of their size. */
import { type Dataset, MNIST } from '../lib/data/index.js';
import { Loader } from '../lib/data/loader.js';
import { SMLP } from '../lib/models/index.js';
import { BatchNorm2d, Conv2d, Flatten, type Layer, Linear, MaxPool2d } from '../lib/nn/index.js';
import { SNN, type SNNOptions } from '../lib/snn.js';
import { getNumThreads, manualSeed, type Tensor } from '../lib/tensor/index.js';
import { epochOrder, fit } from '../lib/training/index.js';
import { median } from './statistics.js';

const params = { step_mode: 'm', surrogate_function: 'ATan', detach_reset: true };
const options: SNNOptions = {
  inputShape: [28, 28, 1],
  outputShape: [10],
  timesteps: 4,
  neuron: { kind: 'LIFNode', params },
};

class ConvNet extends SNN {
  readonly layers: Layer[];

  constructor() {
    super(options);
    const { stepMode } = this;
    this.layers = [1, 16].flatMap((channels) => [
      new Conv2d(channels, 16, 3, { padding: 1, stepMode }),
      new BatchNorm2d(16, { stepMode }),
      this.createNeuron(),
      new MaxPool2d(2, { stepMode }),
    ]);
    const last = [new Linear(784, 256, { stepMode }), this.createNeuron(), new Linear(256, 10, { stepMode })];
    this.layers.push(new Flatten({ stepMode }), ...last);
  }

  override forward(x: Tensor): Tensor {
    return this.layers.reduce((y, layer) => layer.forward(y), x);
  }
}

async function images(): Promise<Dataset> {
  const path = process.env['SPIKENODE_MNIST'];
  if (path) return (await new MNIST({ path }).load()).train;
  const length = 60_000;
  const x = Uint8Array.from({ length: length * 784 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 24);
  const y = Int32Array.from({ length }, (_, i) => i % 10);
  return { x, scale: 255, y, shape: [28, 28, 1], classes: 10, length };
}

// As JavaScript would do it between two steps.
function gatherHere({ x, scale = 1 }: Dataset, batchSize: number, batches: number): number {
  const order = epochOrder(60_000, 0, 1);
  const start = performance.now();
  for (let batch = 0; batch < batches; batch++) {
    const values = new Float32Array(batchSize * 784);
    for (let i = 0; i < batchSize; i++) {
      const from = order[batch * batchSize + i]! * 784;
      for (let j = 0; j < 784; j++) values[i * 784 + j] = x[from + j]! / scale;
    }
  }
  return performance.now() - start;
}

/** Prints the share of the time of `fit` that went into waiting. */
export async function benchLoading(): Promise<void> {
  const data = await images();
  const start = performance.now();
  new Loader(data).dispose();
  const copied = performance.now() - start;
  const size = `${data.length} images of 28x28 bytes`;
  console.log(
    `loading: ${size}, batches of 64, ${getNumThreads()} threads; copied once in ${copied.toFixed(0)} ms`,
  );
  const nets: readonly (readonly [string, number, () => SNN])[] = [
    ['SMLP 784-512-10', data.length, () => new SMLP({ ...options, units: [512] })],
    ['2 convolutions, 16 channels', 64 * 60, () => new ConvNet()],
  ];
  for (const [name, length, build] of nets) {
    manualSeed(0);
    const part = { ...data, length, x: data.x.subarray(0, length * 784), y: data.y.subarray(0, length) };
    const waits: number[] = [];
    const begun = performance.now();
    await fit(build(), part as Dataset, {
      epochs: 1,
      batchSize: 64,
      seed: 0,
      optimizer: { kind: 'Adam', params: { lr: 1e-3 } },
      onStep: ({ dataWait }) => void waits.push(dataWait * 1000),
    });
    const time = performance.now() - begun;
    const share = (ms: number): string => `${((100 * ms) / time).toFixed(2)} %`;
    const steps = waits.length;
    const waited = share(waits.reduce((sum, ms) => sum + ms, 0));
    const half = median(waits);
    console.log(
      `  ${name}: ${steps} steps in ${(time / 1000).toFixed(1)} s, waiting ${waited} (aim < 2 %), ` +
        `half of the steps below ${half.toFixed(3)} ms, ${share(half * steps)}; ` +
        `gathered in JavaScript ${share(gatherHere(data, 64, steps))}`,
    );
  }
}
