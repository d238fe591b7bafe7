/**
 * What a training step costs, where its time goes, and what the same network costs with ReLU in place of neurons.
 * A layer's share is timed inside a step in which every layer is a graph of its own: forward one after the other,
 * then backward in reverse, so that it finds memory and caches as in the real step.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { resetNet } from '../lib/layer/index.js';
import { IFNode, LIFNode } from '../lib/neuron/index.js';
import {
  BatchNorm2d,
  Conv2d,
  Flatten,
  type Layer,
  Linear,
  MaxPool2d,
  Module,
  Sequential,
} from '../lib/nn/index.js';
import { ATan } from '../lib/surrogate/index.js';
import {
  manualSeed,
  mseLoss,
  rand,
  relu,
  Scope,
  setNumThreads,
  type Tensor,
  tidy,
} from '../lib/tensor/index.js';
import { Adam } from '../lib/training/index.js';
import { bridgePrice } from './bridge.js';
import { median, quartiles } from './statistics.js';

const shares = ['convolutions', 'batch norm', 'neurons', 'pooling', 'linear', 'loss', 'optimizer'] as const;
type Share = (typeof shares)[number];
type Part = readonly [share: Share, layer: Layer];

const timesteps = 4;
const rounds = 11;
const m = { stepMode: 'm' } as const;

class ReLU extends Module {
  override forward(x: Tensor): Tensor {
    return relu(x);
  }
}

function csnn(channels: number, neuron: () => Layer): Part[] {
  const block = (inputs: number): Part[] => [
    ['convolutions', new Conv2d(inputs, channels, 3, { padding: 1, bias: false, ...m })],
    ['batch norm', new BatchNorm2d(channels, m)],
    ['neurons', neuron()],
    ['pooling', new MaxPool2d(2, m)],
  ];
  return [
    ...block(1),
    ...block(channels),
    ['linear', new Flatten(m)],
    ['linear', new Linear(channels * 7 * 7, 256, m)],
    ['neurons', neuron()],
    ['linear', new Linear(256, 10, m)],
    ['neurons', neuron()],
  ];
}

function smlp(neuron: () => Layer): Part[] {
  return [
    ['linear', new Flatten(m)],
    ['linear', new Linear(784, 512, m)],
    ['neurons', neuron()],
    ['linear', new Linear(512, 10, m)],
  ];
}

const surrogate = { surrogateFunction: new ATan(), detachReset: true, ...m };
const cases = [
  { name: 'CSNN, 16 channels', batch: 64, build: csnn.bind(null, 16), neuron: () => new IFNode(surrogate) },
  { name: 'CSNN, 64 channels', batch: 64, build: csnn.bind(null, 64), neuron: () => new IFNode(surrogate) },
  { name: 'SMLP 784-512-10', batch: 128, build: smlp, neuron: () => new LIFNode(surrogate) },
];

/** Counts the tensors that a step makes in JavaScript: about one for each crossing of the bridge. */
class CountingScope extends Scope {
  count = 0;

  override add(tensor: Tensor): void {
    this.count += 1;
    super.add(tensor);
  }
}

class TrainingStep {
  readonly #parts: readonly Part[];
  readonly #net: Sequential;
  readonly #optimizer: Adam;
  readonly #input: Tensor;
  readonly #target: Tensor;

  constructor(parts: readonly Part[], batch: number) {
    this.#parts = parts;
    this.#net = new Sequential(...parts.map(([, layer]) => layer));
    this.#optimizer = new Adam(this.#net.parameters());
    this.#input = rand([timesteps, batch, 1, 28, 28]);
    this.#target = rand([batch, 10]);
  }

  #loss(outputs: Tensor): Tensor {
    return mseLoss(outputs.mean(0), this.#target);
  }

  #forward(): Tensor {
    resetNet(this.#net);
    return this.#loss(this.#net.forward(this.#input));
  }

  /** A step without a turn of the event loop, in milliseconds. */
  synchronous(): number {
    const start = performance.now();
    tidy(() => {
      this.#optimizer.zeroGrad();
      const loss = this.#forward();
      loss.backward();
      this.#optimizer.step();
      loss.item();
    });
    return performance.now() - start;
  }

  /** A step as `fit` takes it: backward on the native thread, then a turn; milliseconds and crossings. */
  async asynchronous(): Promise<{ readonly time: number; readonly crossings: number }> {
    const start = performance.now();
    const scope = new CountingScope();
    this.#optimizer.zeroGrad();
    const loss = scope.run(() => this.#forward());
    await loss.backwardAsync();
    this.#optimizer.step();
    await loss.itemAsync();
    const { count } = scope;
    scope.dispose();
    await turn();
    return { time: performance.now() - start, crossings: count };
  }

  /** Milliseconds of each share. */
  byShare(): Map<Share, number> {
    const times = new Map<Share, number>();
    const timed = <R>(share: Share, fn: () => R): R => {
      const start = performance.now();
      const result = fn();
      times.set(share, (times.get(share) ?? 0) + performance.now() - start);
      return result;
    };
    tidy(() => {
      timed('optimizer', () => this.#optimizer.zeroGrad());
      resetNet(this.#net);
      const seams: { share: Share; input: Tensor; output: Tensor }[] = [];
      let x = this.#input;
      for (const [share, layer] of this.#parts) {
        const input = x.detach();
        // As in the real step, the data itself gets no gradient.
        input.requiresGrad = x.requiresGrad;
        x = timed(share, () => layer.forward(input));
        seams.push({ share, input, output: x });
      }
      const outputs = x.detach();
      outputs.requiresGrad = true;
      timed('loss', () => this.#loss(outputs).backward());
      let gradient = outputs.grad;
      for (const { share, input, output } of seams.reverse()) {
        if (output.requiresGrad) timed(share, () => output.backward(gradient));
        gradient?.dispose();
        gradient = input.grad;
        input.grad = null;
      }
      timed('optimizer', () => this.#optimizer.step());
    });
    return times;
  }
}

interface Measured {
  readonly step: number[];
  readonly inFit: number[];
  readonly shares: Map<Share, number[]>;
  crossings: number;
}

async function measure(training: TrainingStep, into: Measured): Promise<void> {
  into.step.push(training.synchronous());
  const { time, crossings } = await training.asynchronous();
  into.inFit.push(time);
  into.crossings = crossings;
  for (const [share, time] of training.byShare())
    into.shares.set(share, [...(into.shares.get(share) ?? []), time]);
}

function empty(): Measured {
  return { step: [], inFit: [], shares: new Map(), crossings: 0 };
}

function print(title: string, [spiking, twin]: readonly [Measured, Measured], price: number): void {
  const row = (name: string, value: (measured: Measured) => number): void => {
    const [a, b] = [value(spiking), value(twin)];
    console.log(
      `  ${name.padEnd(24)} ${a.toFixed(2).padStart(9)} ${b.toFixed(2).padStart(9)} ${(a - b).toFixed(2).padStart(9)}`,
    );
  };
  const share = (name: Share, { shares }: Measured): number => median(shares.get(name) ?? [0]);
  const ratios = spiking.step.map((time, i) => time / twin.step[i]!);
  console.log(`${title}: ${quartiles(ratios)} times the step with ReLU`);
  console.log(`  ${'ms'.padEnd(24)} ${'spiking'.padStart(9)} ${'ReLU'.padStart(9)} ${'more'.padStart(9)}`);
  row('step', ({ step }) => median(step));
  for (const name of shares) {
    if (spiking.shares.has(name)) row(`  ${name}`, (measured) => share(name, measured));
  }
  row('  rest', (one) => median(one.step) - shares.reduce((sum, name) => sum + share(name, one), 0));
  row('of it, bridge', ({ crossings }) => (crossings * price) / 1e6);
  row('in fit: event loop', ({ step, inFit }) => median(inFit.map((time, i) => time - step[i]!)));
}

/** The tables of docs/performance.md. */
export async function benchStep(): Promise<void> {
  const price = bridgePrice();
  console.log(
    `training steps, float32, T ${timesteps}, Adam, MSE of the mean over time; medians of ${rounds} interleaved rounds`,
  );
  for (const { name, batch, build, neuron } of cases) {
    for (const threads of [1, 2]) {
      setNumThreads(threads);
      manualSeed(0);
      const both = [build(neuron), build(() => new ReLU())].map((parts) => new TrainingStep(parts, batch));
      const [spiking, twin] = both as [TrainingStep, TrainingStep];
      const results = [empty(), empty()] as const;
      for (const training of [spiking, twin, spiking, twin]) await measure(training, empty());
      for (let round = 0; round < rounds; round++) {
        await measure(spiking, results[0]);
        await measure(twin, results[1]);
      }
      const plural = threads === 1 ? '1 thread' : `${threads} threads`;
      print(`${name}, batch ${batch}, ${plural}`, results, price);
    }
  }
}
