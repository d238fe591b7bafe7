/**
 * LIF on a GPU: the fused operator against the same maths as a loop of libtorch operators and against a copy that moves the
 * bytes which each pass must move, interleaved in one process. The device is waited for before and after each measurement.
 */
import { spawnSync } from 'node:child_process';
import {
  cudaIsAvailable,
  type Device,
  emptyLike,
  lif,
  manualSeed,
  noGrad,
  rand,
  randn,
  stack,
  surrogateIdentity,
  synchronize,
  type Tensor,
  tidy,
  zeros,
} from '../lib/tensor/index.js';
import { median, quartiles } from './statistics.js';

// Those of bench/neurons.cpp, and one that fills a large GPU.
const sizes = [
  [4, 1 << 20],
  [16, 1 << 16],
  [16, 1 << 20],
  [64, 4096],
  [256, 4096],
  [16, 1 << 22],
] as const;
const rounds = 15;
// Of one measurement, so that the price of waiting for the device is small beside it.
const elements = 2 ** 28;

interface Pass {
  readonly name: string;
  readonly ours: () => void;
  readonly loop: () => void;
  /** Moves as many bytes as this pass must. */
  readonly copy: () => void;
}

/** Tau 2, threshold 1, hard reset to 0, detached, ATan with alpha 2. */
function operatorLoop(x: Tensor): Tensor {
  let v = zeros([x.shape[1] as number], { device: x.device as Device });
  const spikes = x.unbind(0).map((step) => {
    v = v.add(step.sub(v).div(2));
    const u = v.sub(1);
    const slope = noGrad(() => u.mul(Math.PI).square().add(1).reciprocal());
    const spike = surrogateIdentity(u, slope);
    v = v.mul(spike.detach().neg().add(1));
    return spike;
  });
  return stack(spikes);
}

/** Nanoseconds per neuron and step of `repeats` runs. */
function time(device: Device, repeats: number, size: number, body: () => void): number {
  synchronize(device);
  const start = process.hrtime.bigint();
  for (let i = 0; i < repeats; i++) tidy(body);
  synchronize(device);
  return Number(process.hrtime.bigint() - start) / repeats / size;
}

function passesOf(timesteps: number, neurons: number, device: Device): Pass[] {
  const x = rand([timesteps, neurons], { device }).mul(2).detach();
  const v = zeros([neurons], { device });
  const gradient = randn([timesteps, neurons], { device });
  const [target, second] = [emptyLike(x), emptyLike(x)];
  const leaf = x.clone();
  leaf.requiresGrad = true;
  const fused = (from: Tensor): Tensor => lif(from, v, { surrogate: 'ATan' })[0];
  const both = (compute: (from: Tensor) => Tensor): void => {
    leaf.grad = null;
    compute(leaf).backward(gradient);
  };
  return [
    {
      name: 'inference',
      ours: () => noGrad(() => fused(x)),
      loop: () => noGrad(() => operatorLoop(x)),
      copy: () => target.copy_(x),
    },
    {
      name: 'training forward',
      ours: () => fused(leaf),
      loop: () => operatorLoop(leaf),
      // Reads x, writes two results: half as much again as a copy.
      copy: () => {
        target.copy_(x);
        second.narrow(0, 0, timesteps / 2).copy_(x.narrow(0, 0, timesteps / 2));
      },
    },
    {
      name: 'forward + backward',
      ours: () => both(fused),
      loop: () => both(operatorLoop),
      // 24 bytes for each neuron and step.
      copy: () => {
        target.copy_(x);
        second.copy_(x);
        target.copy_(gradient);
      },
    },
  ];
}

/** Which card, as its driver calls it. */
function nameOf(): string {
  const { stdout, status } = spawnSync(
    'nvidia-smi',
    ['--query-gpu=name,compute_cap,driver_version', '--format=csv,noheader'],
    { encoding: 'utf8' },
  );
  return status === 0 ? (stdout.split('\n')[0] ?? '') : 'a GPU whose name nvidia-smi does not tell';
}

/** @param device 'cpu' shows that the bench itself works, on few elements and without meaning */
export function benchCuda(device: Device = 'cuda'): void {
  const isGpu = device !== 'cpu';
  if (isGpu && !cudaIsAvailable()) {
    console.log('cuda: skipped: libtorch finds no CUDA device');
    return;
  }
  console.log(isGpu ? nameOf() : 'the CPU in place of a GPU: a trial of the bench, no result');
  console.log(
    `LIF, ATan, hard reset, float32; medians of ${rounds} interleaved rounds (quartiles)\n` +
      '    ns per neuron, step     ours      loop      copy   times faster than loop     GB/s   of the copy',
  );
  manualSeed(0);
  for (const [timesteps, neurons] of isGpu ? sizes : [[4, 1024] as const]) {
    const size = timesteps * neurons;
    const repeats = isGpu ? Math.max(1, Math.round(elements / size)) : 1;
    console.log(`${timesteps} x ${neurons}`);
    for (const { name, ours, loop, copy } of passesOf(timesteps, neurons, device)) {
      const bodies = [ours, loop, copy];
      const times: number[][] = [];
      // The first round warms up. The loop is slow, so it runs less often.
      for (let i = -1; i < rounds; i++) {
        const round = bodies.map((body, j) =>
          time(device, j === 1 ? Math.max(1, repeats >> 4) : repeats, size, body),
        );
        if (i >= 0) times.push(round);
      }
      const column = (j: number): number[] => times.map((round) => round[j] as number);
      const ratio = (a: number, b: number): number[] =>
        times.map((round) => (round[a] as number) / (round[b] as number));
      const bytes = { inference: 8, 'training forward': 12, 'forward + backward': 24 }[name] ?? 0;
      const [a, b, c] = [0, 1, 2].map((j) => median(column(j)).toPrecision(3).padStart(9));
      console.log(
        `    ${name.padEnd(19)} ${a} ${b} ${c}   ${quartiles(ratio(1, 0), 1).padEnd(22)} ` +
          `${(bytes / median(column(0))).toFixed(0).padStart(6)}   ${quartiles(ratio(2, 0))}`,
      );
    }
  }
}
