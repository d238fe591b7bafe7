import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IFNode, LIFNode, ParametricLIFNode } from '../../lib/neuron/index.js';
import { Parameter } from '../../lib/nn/index.js';
import {
  type Device,
  type DType,
  full,
  manualSeed,
  noGrad,
  rand,
  randn,
  stack,
  type Tensor,
  tidy,
  zeros,
} from '../../lib/tensor/index.js';
import { largestDifference, randomNumbers } from '../tensor/helpers.js';
import { type OracleOptions, oracle, slopes } from './oracle.js';

// Every fused operator against the composition: neuron x surrogate x reset x detach x decay x dtype x layout x step
// mode x form of the parameters. A sample here, all of it in the long run.

const axes = {
  neuron: ['IFNode', 'LIFNode', 'ParametricLIFNode'],
  surrogate: Object.keys(slopes),
  vReset: [null, -0.1],
  detachReset: [false, true],
  decayInput: [false, true],
  dtype: ['float32', 'float64', 'bfloat16', 'float16'],
  layout: ['contiguous', 'channels-last', 'expanded', 'strided'],
  stepMode: ['s', 'm'],
  form: ['numbers', 'one', 'channels', 'all'],
} as const;
type Axes = typeof axes;
type Cell = { readonly [K in keyof Axes]: Axes[K][number] };

const steps = 19; // more than a chunk that backward computes again, and not a multiple of it
const shape = [2, 3, 2, 3];

function cell(index: number): Cell {
  let rest = index;
  const entries = Object.entries(axes).map(([name, values]) => {
    const value = values[rest % values.length];
    rest = Math.floor(rest / values.length);
    return [name, value];
  });
  return Object.fromEntries(entries) as Cell;
}
const cells = Object.values(axes).reduce((product, values) => product * values.length, 1);

const parameterShapes = { one: [1], channels: [3, 1, 1], all: shape };

const computed = (c: Cell): DType => (c.dtype === 'float64' ? 'float64' : 'float32');

function parameterOf(c: Cell, low: number, high: number): Tensor | number {
  if (c.form === 'numbers') return (low + high) / 2;
  return rand(parameterShapes[c.form], { dtype: computed(c) })
    .mul(high - low)
    .add(low);
}

// The same numbers with other strides.
function laidOut(x: Tensor, layout: Cell['layout']): Tensor {
  switch (layout) {
    case 'contiguous':
      return x;
    case 'channels-last':
      return x.permute([0, 1, 3, 4, 2]).contiguous().permute([0, 1, 4, 2, 3]);
    case 'expanded':
      return x.narrow(0, 0, 1).expand([steps, ...shape]);
    case 'strided': {
      const wide = zeros([steps, ...shape.slice(0, 3), 6], { dtype: x.dtype });
      const every = wide.slice(4, 0, 6, 2);
      every.copy_(x);
      return every;
    }
  }
}

interface Drawn {
  readonly x: Tensor;
  readonly v: Tensor;
  readonly leak: Tensor | number;
  readonly threshold: Tensor | number;
}

const exact = (value: Tensor | number): Tensor | number =>
  typeof value === 'number' ? value : value.detach().to('float64');

function learnable(value: Tensor | number): Tensor | number {
  if (typeof value === 'number') return value;
  const copy = value.clone();
  copy.requiresGrad = true;
  return copy;
}

function options(c: Cell, leak: Tensor | number, threshold: Tensor | number): OracleOptions {
  const { neuron, surrogate, vReset, detachReset, decayInput } = c;
  return { neuron, surrogate, vReset, detachReset, decayInput, leak, threshold };
}

// Numbers of the dtype under test for which no membrane comes near a kink of a surrogate.
function draw(c: Cell, device: Device): Drawn {
  const margin = c.dtype === 'float64' ? 1e-7 : 5e-5;
  for (;;) {
    const x = laidOut(
      randn([steps, ...shape])
        .mul(0.8)
        .add(0.4)
        .to(c.dtype as DType),
      c.layout,
    );
    const v = rand(shape).mul(0.5);
    const isPlif = c.neuron === 'ParametricLIFNode';
    const leak =
      isPlif && c.form === 'numbers'
        ? full([], 0.4, { dtype: computed(c) })
        : parameterOf(c, isPlif ? -1 : 1.3, isPlif ? 1 : 3);
    const threshold = parameterOf(c, 0.6, 1.1);
    const { u } = noGrad(() =>
      oracle(x.to('float64'), v.to('float64'), options(c, exact(leak), exact(threshold))),
    );
    const near = [0, 1, -1, 0.5, -0.5].map((kink) => u.sub(kink).abs().min().item() as number);
    if (Math.min(...near) <= margin) continue;
    const moved = (value: Tensor | number): Tensor | number =>
      typeof value === 'number' ? value : value.to(device);
    return {
      x: laidOut(x.to(device), c.layout),
      v: v.to(device),
      leak: moved(leak),
      threshold: moved(threshold),
    };
  }
}

function node(
  c: Cell,
  leak: Tensor | number,
  threshold: Tensor | number,
): IFNode | LIFNode | ParametricLIFNode {
  const { vReset, detachReset, decayInput, stepMode } = c;
  const common = {
    vReset,
    detachReset,
    stepMode,
    surrogateFunction: c.surrogate,
    storeVSeq: stepMode === 'm',
    vThreshold: threshold,
  };
  if (c.neuron === 'IFNode') return new IFNode(common);
  if (c.neuron === 'LIFNode') return new LIFNode({ ...common, decayInput, tau: leak });
  const made = new ParametricLIFNode({ ...common, decayInput });
  (made as { w: Tensor }).w = new Parameter(leak as Tensor);
  return made;
}

const numbers = (value: Tensor | null): Float64Array => {
  assert.ok(value !== null, 'a gradient is missing');
  return value.detach().to('float64').toTypedArray() as Float64Array;
};

type Results = Readonly<Record<string, Tensor | null>>;

function gradients(x: Tensor, v: Tensor, leak: Tensor | number, threshold: Tensor | number): Results {
  return {
    'gradient of x': x.grad,
    'gradient of v': v.grad,
    ...(typeof leak !== 'number' && leak.requiresGrad ? { 'gradient of the leak': leak.grad } : {}),
    ...(typeof threshold !== 'number' ? { 'gradient of the threshold': threshold.grad } : {}),
  };
}

function fused(c: Cell, drawn: Drawn, weights: readonly Tensor[]): Results {
  const x = drawn.x.detach();
  x.requiresGrad = true;
  const dtype = computed(c);
  const v = drawn.v.to(dtype).clone();
  v.requiresGrad = true;
  const threshold = learnable(drawn.threshold);
  const leak = c.neuron === 'IFNode' ? 2 : c.neuron === 'LIFNode' ? learnable(drawn.leak) : drawn.leak;
  const made = node(c, leak, threshold);
  made.v = v;
  const s = c.stepMode === 'm' ? made.forward(x) : stack(x.unbind(0).map((step) => made.forward(step)));
  assert.equal(s.dtype, c.dtype);
  const last = made.v as Tensor;
  assert.equal(last.dtype, dtype);
  const [ws, wv, wSeq] = weights as [Tensor, Tensor, Tensor];
  let loss = s
    .to(dtype)
    .mul(ws.to(dtype))
    .sum()
    .add(last.mul(wv.to(dtype)).sum());
  const { vSeq } = made;
  if (vSeq !== null) loss = loss.add(vSeq.mul(wSeq.to(dtype)).sum());
  loss.backward();
  const learned = made instanceof ParametricLIFNode ? made.w : leak;
  return {
    spikes: s,
    membrane: last,
    ...(vSeq === null ? {} : { membranes: vSeq }),
    ...gradients(x, v, learned, threshold),
  };
}

function expected(c: Cell, drawn: Drawn, weights: readonly Tensor[]): Results {
  const x = drawn.x.detach().to('float64').clone();
  x.requiresGrad = true;
  const v = drawn.v.to('float64').clone();
  v.requiresGrad = true;
  const threshold = learnable(exact(drawn.threshold));
  const leak = c.neuron === 'IFNode' ? 2 : learnable(exact(drawn.leak));
  const result = oracle(x, v, options(c, leak, threshold));
  const [ws, wv, wSeq] = weights as [Tensor, Tensor, Tensor];
  let loss = result.s.mul(ws).sum().add(result.v.mul(wv).sum());
  if (c.stepMode === 'm') loss = loss.add(result.vSeq.mul(wSeq).sum());
  loss.backward();
  return {
    spikes: result.s,
    membrane: result.v,
    ...(c.stepMode === 'm' ? { membranes: result.vSeq } : {}),
    ...gradients(x, v, leak, threshold),
  };
}

const tolerances = { float64: 1e-11, float32: 3e-4, bfloat16: 3e-4, float16: 3e-4 };
// Gradients of 16-bit inputs are rounded to 8 or 11 bits.
const rounding = { float64: 1e-11, float32: 3e-4, bfloat16: 5e-3, float16: 1e-3 };

function check(c: Cell, device: Device): void {
  const drawn = draw(c, device);
  // The loss's weights are exact in 16 bits too.
  const weights = [[steps, ...shape], shape, [steps, ...shape]].map((sizes) =>
    randn(sizes).mul(8).round().div(8).to('float64').to(device),
  );
  const [found, wanted] = [fused(c, drawn, weights), expected(c, drawn, weights)];
  assert.deepEqual(Object.keys(found), Object.keys(wanted));
  for (const [name, value] of Object.entries(found)) {
    const [a, b] = [numbers(value), numbers((wanted[name] as Tensor).detach().to(value?.dtype as DType))];
    // What overflows in float16 does so on both sides.
    b.forEach((one, i) => {
      if (!Number.isFinite(one) && a[i] === one) a[i] = b[i] = 0;
    });
    const scale = Math.max(1, ...b.map(Math.abs));
    const limit = (name === 'gradient of x' ? rounding : tolerances)[c.dtype] * Math.min(scale, 100);
    const worst = largestDifference(a, b);
    assert.ok(worst <= limit, `${name}: ${worst} away, limit ${limit}`);
    if (name === 'gradient of x')
      assert.ok(
        a.some((one) => one !== 0),
        `${name} is zero`,
      );
  }
}

function checkAll(indices: Iterable<number>, device: Device): void {
  for (const index of indices) {
    const c = cell(index);
    manualSeed(index);
    try {
      tidy(() => check(c, device));
    } catch (error) {
      throw new Error(`${JSON.stringify(c)}: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** Registers the tests of the matrix on a device. @param skip why they cannot run, or false */
export function matrixTests(device: Device, skip: string | false): void {
  test('a sample of the matrix, with every value of every axis', { skip }, () => {
    const random = randomNumbers(20);
    const chosen = Array.from({ length: 600 }, () => Math.floor(random() * cells));
    checkAll(chosen, device);
    for (const [name, values] of Object.entries(axes)) {
      assert.equal(new Set(chosen.map((index) => cell(index)[name as keyof Axes])).size, values.length);
    }
  });

  const long = process.env['SPIKENODE_TEST_LONG'] === '1' ? false : 'only in the long run';
  test('the whole matrix', { skip: skip || long }, () => {
    checkAll(
      Array.from({ length: cells }, (_, index) => index),
      device,
    );
  });
}
