import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import {
  ATan,
  PiecewiseQuadratic,
  Sigmoid,
  type Surrogate,
  type SurrogateClass,
  surrogateOf,
  surrogates,
} from '../../lib/surrogate/index.js';
import { type Tensor, tensor } from '../../lib/tensor/index.js';

// Gradients and primitives of SpikingJelly's surrogates with their defaults, rounded to 5 and 4 digits.
const X = [-2, -1, -0.5, -0.1, -0.0, 0, 0.1, 0.5, 1, 2];
const GOLDEN: readonly [SurrogateClass, readonly number[], readonly number[]][] = [
  [
    PiecewiseQuadratic,
    [0, 0, 0.5, 0.9, 1, 1, 0.9, 0.5, 0, 0],
    [0, 0, 0.125, 0.405, 0.5, 0.5, 0.595, 0.875, 1, 1],
  ],
  [
    Sigmoid,
    [0.00134, 0.07065, 0.41997, 0.96104, 1, 1, 0.96104, 0.41997, 0.07065, 0.00134],
    [0.0003, 0.018, 0.1192, 0.4013, 0.5, 0.5, 0.5987, 0.8808, 0.982, 0.9997],
  ],
  [
    ATan,
    [0.0247, 0.092, 0.2884, 0.91017, 1, 1, 0.91017, 0.2884, 0.092, 0.0247],
    [0.0502, 0.0981, 0.1805, 0.4031, 0.5, 0.5, 0.5969, 0.8195, 0.9019, 0.9498],
  ],
];

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

for (const [kind, gradients, primitives] of GOLDEN) {
  test(`${kind.name}: spike, gradient and primitive`, () => {
    const spiking = apply(new kind(), X);
    assert.deepEqual(spiking.y, [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    close(spiking.gradient, gradients, 5e-6);
    const smooth = apply(new kind({ spiking: false }), X);
    close(smooth.y, primitives, 5e-5);
    close(smooth.gradient, spiking.gradient, 1e-12);
  });

  test(`${kind.name}: the gradient is the primitive's derivative for other alphas`, () => {
    const step = 1e-6;
    for (const alpha of [0.3, 2.5]) {
      const points = [-0.9, -0.31, -0.05, 0.07, 0.33, 1.2];
      const primitive = (shift: number): number[] =>
        apply(
          new kind({ alpha, spiking: false }),
          points.map((u) => u + shift),
        ).y;
      const above = primitive(step);
      const numeric = primitive(-step).map((value, i) => ((above[i] as number) - value) / (2 * step));
      close(apply(new kind({ alpha }), points).gradient, numeric, 1e-8);
    }
  });
}

test('NaN does not fire and any shape will do', () => {
  assert.deepEqual(apply(new ATan(), [Number.NaN, 1]).y, [0, 1]);
  assert.deepEqual(new ATan().forward(tensor(0.5)).tolist(), 1);
  assert.deepEqual(new ATan().forward(tensor([[1, -1]])).tolist(), [[1, 0]]);
});

test('the registry has what the kernels have', () => {
  assert.deepEqual(surrogates.names(), ['Sigmoid', 'ATan', 'PiecewiseQuadratic']);
  for (const name of surrogates.names()) {
    const surrogate = new (surrogates.find(name, []))();
    assert.equal(surrogate.kernel, name);
    apply(surrogate, [0.5]);
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
