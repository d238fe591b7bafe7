import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError, DTypeError, TorchError } from '../../lib/errors.js';
import { packageRoot } from '../../lib/native/platform.js';
import { IFNode, LIFNode, ParametricLIFNode } from '../../lib/neuron/index.js';
import { Parameter } from '../../lib/nn/index.js';
import { type ParameterTable, parameter, positive } from '../../lib/parameters.js';
import {
  ATan,
  PiecewiseQuadratic,
  PoissonPass,
  registerSurrogate,
  type Sigmoid,
  Surrogate,
  surrogateOf,
  surrogates,
} from '../../lib/surrogate/index.js';
import { full, manualSeed, randn, surrogateIdentity, type Tensor, tensor } from '../../lib/tensor/index.js';

interface Golden {
  readonly name: string;
  readonly gradients: readonly number[];
  /** Null where the original has none. */
  readonly primitives: readonly number[] | null;
}

// Gradients and primitives of SpikingJelly's surrogates with their defaults, rounded to 5 and 4 digits.
const X = [-2, -1, -0.5, -0.1, -0.0, 0, 0.1, 0.5, 1, 2];
const numbers = (text: string): number[] =>
  text.split(', ').map((one) => Number(one.replace('inf', 'Infinity')));
const GOLDEN: readonly Golden[] = [
  ...readFileSync(join(packageRoot(), 'test', 'golden', 'surrogates.txt'), 'utf8').matchAll(
    /^(\w+) grad \[(.*?)\] prim (?:\[(.*?)\]|NotImplementedError)$/gm,
  ),
].map(([, name = '', gradients = '', primitives]) => ({
  name,
  gradients: numbers(gradients),
  primitives: primitives === undefined ? null : numbers(primitives),
}));

// The counts need a limit, and spikes are not Θ(u).
const own: Readonly<Record<string, { readonly x: readonly number[]; readonly y: readonly number[] }>> = {
  PoissonPass: { x: [0, 0, 1], y: [0, 0, 1] },
  MultiLevelSpikeCount: { x: X, y: [0, 0, 0, 0, 0, 0, 0, 0, 1, 2] },
};

function make(name: string, options: object = {}): Surrogate {
  const kind = surrogates.find(name, []);
  return new kind(name === 'MultiLevelSpikeCount' ? { maxSpikeCount: 4, ...options } : options);
}

function apply(surrogate: Surrogate, values: readonly number[]): { y: number[]; gradient: number[] } {
  const u = tensor(values, { dtype: 'float64', requiresGrad: true });
  const y = surrogate.forward(u);
  y.sum().backward();
  return { y: y.tolist() as number[], gradient: (u.grad as Tensor).tolist() as number[] };
}

function close(found: readonly number[], expected: readonly number[], tolerance: number): void {
  assert.equal(found.length, expected.length);
  found.forEach((value, i) => {
    assert.ok(
      Math.abs(value - (expected[i] as number)) <= tolerance,
      `${value} at ${i}, expected ${expected[i]}`,
    );
  });
}

test('the table has every surrogate', () => {
  assert.deepEqual(GOLDEN.map(({ name }) => name).sort(), surrogates.names().sort());
});

for (const { name, gradients, primitives } of GOLDEN) {
  test(`${name}: spike, gradient and primitive`, () => {
    const { x, y } = own[name] ?? { x: X, y: [0, 0, 0, 0, 1, 1, 1, 1, 1, 1] };
    const spiking = apply(make(name), x);
    assert.deepEqual(spiking.y, y);
    // The original divides by -0 here; the limit is meant.
    const expected = gradients.map((value) => (value === Number.NEGATIVE_INFINITY ? 0.3 : value));
    close(spiking.gradient, expected, 5e-6);
    if (primitives === null) {
      assert.throws(() => apply(make(name, { spiking: false }), x), new RegExp(`${name} has no primitive`));
      return;
    }
    const points = name === 'PoissonPass' ? [0, 0.5, 1] : x;
    const smooth = apply(make(name, { spiking: false }), points);
    close(smooth.y, primitives, 5.1e-5);
    // S2NN's logarithm is shifted by 1e-5.
    close(smooth.gradient, spiking.gradient, name === 'S2NN' ? 1e-4 : 1e-12);
  });
}

const others: readonly (readonly [string, object])[] = [
  ['Sigmoid', { alpha: 0.3 }],
  ['ATan', { alpha: 2.5 }],
  ['PiecewiseQuadratic', { alpha: 0.7 }],
  ['PiecewiseExp', { alpha: 2.5 }],
  ['SoftSign', { alpha: 0.3 }],
  ['Erf', { alpha: 0.7 }],
  ['NonzeroSignLogAbs', { alpha: 2.5 }],
  ['PiecewiseLeakyReLU', { w: 0.4, c: 0.2 }],
  ['SquarewaveFourierSeries', { n: 5, tPeriod: 3 }],
  ['S2NN', { alpha: 2, beta: 0.6 }],
  ['QPseudoSpike', { alpha: 3.5 }],
  ['LeakyKReLU', { leak: 0.2, k: 1.5 }],
  ['LogTailedReLU', { alpha: 0.2 }],
  ['Rect', { alpha: 0.8 }],
];
for (const [name, options] of others) {
  test(`${name}: the gradient is the primitive's derivative for other parameters`, () => {
    const step = 1e-6;
    const points = [-0.9, -0.31, -0.05, 0.07, 0.33, 1.2];
    const primitive = (shift: number): number[] =>
      apply(
        make(name, { ...options, spiking: false }),
        points.map((u) => u + shift),
      ).y;
    const above = primitive(step);
    const numeric = primitive(-step).map((value, i) => ((above[i] as number) - value) / (2 * step));
    const { gradient } = apply(make(name, options), points);
    close(gradient, numeric, name === 'S2NN' ? 1e-4 : 1e-8);
    assert.notDeepEqual(gradient, apply(make(name), points).gradient);
  });
}

test('surrogates without a primitive and with other parameters', () => {
  close(apply(make('SuperSpike', { alpha: 3 }), [-1, 0.5]).gradient, [0.75, 3 / 2.25], 1e-12);
  close(apply(make('FakeNumericalGradient', { alpha: 2 }), [-1, 0.1, 4]).gradient, [1, 2, 0.25], 1e-12);
  const windowed = apply(make('MultiLevelSpikeCount', { gradWindow: [-1, 1.5] }), [-1.5, -1, 1.5, 2.5, 3.5]);
  assert.deepEqual(
    [windowed.y, windowed.gradient],
    [
      [0, 0, 2, 2, 4],
      [0, 1, 1, 0, 0],
    ],
  );
});

test('PoissonPass draws with the probabilities it is given', () => {
  manualSeed(2);
  const [count, size] = [0.3, 20000];
  const y = new PoissonPass()
    .forward(full([size], count))
    .mean()
    .item() as number;
  assert.ok(Math.abs(y - count) < 0.02, `${y}`);
  assert.throws(() => new PoissonPass().forward(tensor([1.5])), TorchError);
});

// A surrogate as a user writes it.
class Triangle extends Surrogate {
  static readonly parameters: ParameterTable = { width: parameter('width', positive().default(1)) };
  readonly width: number;

  constructor(options: { readonly width?: number } = {}) {
    super();
    this.width = options.width ?? 1;
  }

  override derivative(u: Tensor): Tensor {
    return u.abs().div(this.width).neg().add(1).clamp(0).div(this.width);
  }
}

test('a surrogate written in TypeScript gives the numbers of the same one in the kernels', () => {
  registerSurrogate('Triangle', Triangle);
  manualSeed(5);
  const x = randn([6, 2, 5], { dtype: 'float64' }).add(0.4);
  for (const Neuron of [IFNode, LIFNode, ParametricLIFNode]) {
    for (const options of [{}, { vReset: null }, { detachReset: true, vThreshold: 0.8 }]) {
      const run = (surrogateFunction: string): unknown[] => {
        const threshold = new Parameter(full([5], options.vThreshold ?? 1, { dtype: 'float64' }));
        const node = new Neuron({
          ...options,
          surrogateFunction,
          stepMode: 'm',
          storeVSeq: true,
          vThreshold: threshold,
        });
        node.to({ dtype: 'float64' });
        const input = x.clone();
        input.requiresGrad = true;
        const s = node.forward(input);
        s.mul(x)
          .sum()
          .add((node.vSeq as Tensor).square().sum())
          .backward();
        const learned = node instanceof ParametricLIFNode ? [node.w.grad] : [];
        return [s, node.v, node.vSeq, input.grad, threshold.grad, ...learned].map((y) =>
          (y as Tensor).reshape([-1]).tolist(),
        );
      };
      const [mine, kernels] = [run('Triangle'), run('PiecewiseQuadratic')];
      mine.forEach((values, i) => {
        close(values as number[], kernels[i] as number[], 1e-12);
      });
    }
  }
});

test('a surrogate of other spikes drives a neuron', () => {
  const node = new IFNode({
    surrogateFunction: { kind: 'MultiLevelSpikeCount', params: { max_spike_count: 3 } },
    vReset: null,
  });
  assert.deepEqual(node.forward(tensor([0.4, 2.6, 9])).tolist(), [0, 2, 3]);
  const empty = new IFNode({ surrogateFunction: new PoissonPass(), stepMode: 'm' });
  assert.deepEqual(empty.forward(tensor([]).reshape([0, 4])).shape, [0, 4]);
});

test('surrogateIdentity takes the gradient it is given, and checks it', () => {
  const u = tensor([-1, 0, 2], { requiresGrad: true });
  surrogateIdentity(u, tensor([5, 6, 7]))
    .sum()
    .backward();
  assert.deepEqual((u.grad as Tensor).tolist(), [5, 6, 7]);
  assert.deepEqual(surrogateIdentity(u, u.detach()).tolist(), [0, 1, 1]);
  assert.throws(() => surrogateIdentity(u, tensor([1])), /argument 'g' must have shape \[3\], got \[1\]/);
  assert.throws(() => surrogateIdentity(tensor([1n]), tensor([1n])), DTypeError);
  u.grad = null;
  surrogateIdentity(u, tensor([5, 6, 7]))
    .sum()
    .backward(null, { createGraph: true });
  assert.throws(() => (u.grad as Tensor).sum().backward(), /second derivatives/);
  u.grad = null;
});

test('NaN does not fire and any shape will do', () => {
  assert.deepEqual(apply(new ATan(), [Number.NaN, 1]).y, [0, 1]);
  assert.deepEqual(new ATan().forward(tensor(0.5)).tolist(), 1);
  assert.deepEqual(new ATan().forward(tensor([[1, -1]])).tolist(), [[1, 0]]);
});

test('an infinite distance from the threshold has the limit of the gradient, and counts as far away', () => {
  const far = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const limits: Readonly<Record<string, readonly number[]>> = {
    PiecewiseLeakyReLU: [0.01, 0.01],
    LeakyKReLU: [0, 1],
    DeterministicPass: [1, 1],
  };
  for (const { name } of GOLDEN) {
    // A cosine has no limit, and what is drawn needs a probability.
    if (name === 'SquarewaveFourierSeries' || name === 'PoissonPass') continue;
    const { y, gradient } = apply(make(name), far);
    assert.deepEqual(y, [0, name === 'MultiLevelSpikeCount' ? 4 : 1], name);
    close(gradient, limits[name] ?? [0, 0], 1e-300);
    const u = tensor(far, { dtype: 'float64' });
    close(make(name).derivative(u).tolist() as number[], gradient, 0);
  }
});

test('a surrogate is named by instance, kind or table', () => {
  const own = new ATan({ alpha: 3 });
  assert.equal(surrogateOf(own), own);
  assert.ok(surrogateOf('PiecewiseQuadratic') instanceof PiecewiseQuadratic);
  assert.notEqual(surrogateOf('ATan'), surrogateOf('ATan'));
  const made = surrogateOf({ kind: 'ATan', params: { alpha: 3, spiking: false } });
  assert.ok(made instanceof ATan);
  assert.deepEqual([made.alpha, made.spiking], [3, false]);
  assert.equal((surrogateOf(undefined) as Sigmoid).alpha, 4);
});

test('what is wrong with a surrogate has a path', () => {
  const failing: readonly [unknown, readonly string[]][] = [
    ['Relu', []],
    [7, []],
    [null, []],
    [[], []],
    [{}, ['kind']],
    [{ kind: 3 }, ['kind']],
    [{ kind: 'constructor' }, ['kind']],
    [{ kind: 'ATan', alpha: 2 }, ['alpha']],
    [{ kind: 'ATan', params: 2 }, ['params']],
    [{ kind: 'ATan', params: { alpha: 0 } }, ['params', 'alpha']],
    [{ kind: 'ATan', params: { alpha: Number.NaN } }, ['params', 'alpha']],
    [{ kind: 'ATan', params: { aplha: 1 } }, ['params', 'aplha']],
    [{ kind: 'SuperSpike', params: { spiking: false } }, ['params', 'spiking']],
    [{ kind: 'QPseudoSpike', params: { alpha: 1 } }, ['params', 'alpha']],
    [{ kind: 'SquarewaveFourierSeries', params: { n: 1 } }, ['params', 'n']],
    [{ kind: 'MultiLevelSpikeCount' }, ['params', 'max_spike_count']],
  ];
  for (const [value, path] of failing) {
    assert.throws(
      () => surrogateOf(value),
      (error: unknown) => {
        assert.ok(error instanceof ConfigError, `${JSON.stringify(value)}: ${error}`);
        assert.deepEqual(error.path, path);
        return true;
      },
    );
  }
});
