/** What it saves that an input which is the same at every time step goes through the first layers once. */
import { resetNet } from '../lib/layer/index.js';
import { SCNN } from '../lib/models/index.js';
import {
  crossEntropyLoss,
  manualSeed,
  rand,
  setNumThreads,
  type Tensor,
  tidy,
  zeros,
} from '../lib/tensor/index.js';
import { median, quartiles } from './statistics.js';

const rounds = 15;
const batch = 64;

function network(timesteps: number, pools: readonly number[]): SCNN {
  manualSeed(0);
  const each = <T>(value: T): T[] => pools.map(() => value);
  return new SCNN({
    inputShape: [28, 28, 1],
    outputShape: [10],
    dims: 2,
    timesteps,
    filters: each(16),
    kernelSizes: each(3),
    paddings: each(1),
    strides: each(1),
    poolSizes: pools,
    fcUnits: [],
    batchNorm: true,
    neuron: { kind: 'IFNode', params: { step_mode: 'm', detach_reset: true, surrogate_function: 'ATan' } },
  });
}

/** Milliseconds of a forward and backward pass. */
function step(net: SCNN, x: Tensor, targets: Tensor): number {
  const start = process.hrtime.bigint();
  tidy(() => {
    resetNet(net);
    net.zeroGrad();
    crossEntropyLoss(net.forward(x).mean(0), targets).backward();
  });
  return Number(process.hrtime.bigint() - start) / 1e6;
}

export function benchStaticInput(): void {
  setNumThreads(1);
  console.log(
    `a static input, batch ${batch}, 28x28, convolutions of 16 channels with batch norm, IF neurons and max-pooling, one ` +
      `thread: ms of forward and backward, and the ratio of copies in time to the expanded input; median (quartiles) of ` +
      `${rounds} interleaved rounds`,
  );
  for (const [name, pools] of [
    ['one convolution', [2]],
    ['two convolutions', [2, 2]],
  ] as const) {
    for (const timesteps of [4, 16]) {
      const net = network(timesteps, pools);
      const expanded = rand([batch, 1, 28, 28]).unsqueeze(0).expand([timesteps, batch, 1, 28, 28]);
      const copied = expanded.contiguous();
      const targets = zeros([batch], { dtype: 'int64' });
      const times = Array.from({ length: rounds }, () => [
        step(net, expanded, targets),
        step(net, copied, targets),
      ]);
      const [once, each] = [0, 1].map((i) => times.map((pair) => pair[i] as number)) as [number[], number[]];
      const ratios = times.map(([fast, slow]) => (slow as number) / (fast as number));
      console.log(
        `  ${name}, T = ${timesteps}`.padEnd(28),
        `${median(each).toFixed(1)} copied, ${median(once).toFixed(1)} expanded, ${quartiles(ratios)} times`,
      );
    }
  }
}
