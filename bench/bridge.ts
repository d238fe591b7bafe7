/** What one `add` of two small tensors costs through the bridge, beside the same call in C++ in this process. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { packageRoot } from '../lib/native/platform.js';
import { ones, setNumThreads, type Tensor, tidy } from '../lib/tensor/index.js';
import { median, quartiles } from './statistics.js';

interface Reference {
  addLoop(count: number): number;
}

const rounds = 31;
const calls = 20_000;

function nanoseconds(body: () => void): number {
  const start = process.hrtime.bigint();
  body();
  return Number(process.hrtime.bigint() - start) / calls;
}

function inScope(a: Tensor, b: Tensor): void {
  for (let i = 0; i < calls; i += 100) {
    tidy(() => {
      for (let j = 0; j < 100; j++) a.add(b);
    });
  }
}

async function outside(a: Tensor, b: Tensor): Promise<number> {
  let time = 0;
  for (let i = 0; i < calls; i += 1000) {
    const start = process.hrtime.bigint();
    for (let j = 0; j < 1000; j++) a.add(b);
    // The turn is part of the price: it is where the finalizers run.
    await new Promise((resolve) => setImmediate(resolve));
    time += Number(process.hrtime.bigint() - start);
  }
  return time / calls;
}

function reference(): Reference {
  return createRequire(import.meta.url)(
    join(packageRoot(), 'build', 'Release', 'bench_bridge.node'),
  ) as Reference;
}

/** Nanoseconds that a call in a scope costs more than in C++. */
export function bridgePrice(): number {
  setNumThreads(1);
  const { addLoop } = reference();
  const [a, b] = [ones([2]), ones([2])];
  return median(
    Array.from({ length: rounds }, () => {
      const base = addLoop(calls);
      return nanoseconds(() => inScope(a, b)) - base;
    }),
  );
}

export async function benchBridge(): Promise<void> {
  setNumThreads(1);
  const { addLoop } = reference();
  const [a, b] = [ones([2]), ones([2])];
  const direct: number[] = [];
  const scoped: number[] = [];
  const unscoped: number[] = [];
  for (let i = 0; i < rounds; i++) {
    const base = addLoop(calls);
    direct.push(base);
    scoped.push(nanoseconds(() => inScope(a, b)) - base);
    unscoped.push((await outside(a, b)) - base);
  }
  console.log(
    `add of two 2-element tensors, ns per call, median (quartiles) of ${rounds} interleaved rounds`,
  );
  console.log(`  C++ at::add                        ${quartiles(direct, 0)}`);
  console.log(`  bridge, in a scope: more than C++  ${quartiles(scoped, 0)}   aim 400`);
  console.log(`  bridge, outside:    more than C++  ${quartiles(unscoped, 0)}   aim 1200`);
}
