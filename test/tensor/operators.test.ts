import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectTypeOf } from 'expect-type';
import {
  add,
  addmm,
  allclose,
  any,
  arange,
  cat,
  clamp,
  conv1d,
  conv2d,
  crossEntropyLoss,
  div,
  equal,
  eye,
  full,
  Generator,
  linalgNorm,
  manualSeed,
  max,
  maxPool1d,
  maxPool2d,
  mseLoss,
  normal,
  ones,
  onesLike,
  pow,
  randint,
  randperm,
  round,
  ShapeError,
  scatter,
  slice,
  sort,
  split,
  squeeze,
  std,
  sum,
  Tensor,
  tensor,
  uniform_,
  variance,
  view,
  where,
  zeros,
} from './helpers.js';

const matrix = (): Tensor =>
  tensor([
    [3, 1, 2],
    [4, 6, 5],
  ]);

test('arithmetic takes a tensor or a number', () => {
  const x = tensor([1, 2]);
  assert.deepEqual(add(x, tensor([10, 20])).tolist(), [11, 22]);
  assert.deepEqual(x.add(1).tolist(), [2, 3]);
  assert.deepEqual(x.add(tensor([10, 20]), { alpha: 2 }).tolist(), [21, 42]);
  assert.deepEqual(x.add(10, { alpha: 2 }).tolist(), [21, 22]);
  assert.deepEqual(pow(2, x).tolist(), [2, 4]);
  assert.deepEqual(x.pow(tensor([3, 2])).tolist(), [1, 4]);
  assert.deepEqual(div(tensor([7, -7]), 2, { roundingMode: 'floor' }).tolist(), [3, -4]);
  assert.deepEqual(div(tensor([7, -7]), tensor([2]), { roundingMode: 'trunc' }).tolist(), [3, -3]);
  assert.deepEqual(div(tensor([7]), 2).tolist(), [3.5]);
  assert.equal(tensor([1n]).add(1).dtype, 'int64');
  assert.equal(tensor([1n]).add(1.5).dtype, 'float32');
});

test('a factor is not rounded to 16 bits before it is used, in place neither', () => {
  for (const dtype of ['bfloat16', 'float16'] as const) {
    const values = Array.from({ length: 40 }, (_, i) => (i - 17) / 8);
    const x = tensor(values, { dtype });
    for (const number of [0.3, 1.1, -0.7, 1 / 3]) {
      const scalar = Math.fround(number);
      const exact = tensor(
        values.map((value) => value * scalar),
        { dtype: 'float32' },
      );
      const products = exact.to(dtype).tolist();
      assert.deepEqual(x.mul(number).tolist(), products);
      assert.deepEqual(x.clone().mul_(number).tolist(), products);
      const learned = x.clone();
      learned.requiresGrad = true;
      learned.mul(1).mul_(number).sum().backward();
      assert.deepEqual((learned.grad as Tensor).tolist(), full([40], number, { dtype }).tolist());
    }
  }
  const count = tensor([3n]);
  assert.equal(count.mul_(2), count);
  assert.deepEqual(count.tolist(), [6]);
  assert.throws(() => count.mul_(1.5), /mul_: .*can't be cast/);
  assert.throws(
    () => count.mul_('2' as never),
    /mul_: argument 'other' must be a number or Tensor, got a string/,
  );
});

test('reductions: all, one dimension, several, and options after any of them', () => {
  const x = matrix();
  assert.equal(sum(x).item(), 21);
  assert.deepEqual(x.sum(0).tolist(), [7, 7, 7]);
  assert.deepEqual(x.sum([0, 1], true).shape, [1, 1]);
  assert.equal(x.sum(null).item(), 21);
  assert.equal(x.sum({ dtype: 'float64' }).dtype, 'float64');
  assert.equal(x.sum(0, { dtype: 'float64' }).dtype, 'float64');
  assert.deepEqual(x.sum(0, true, { dtype: 'int64' }).tolist(), [[7, 7, 7]]);
  assert.equal(std(x, { correction: 0 }).item(), x.std(null, { correction: 0 }).item());
  assert.deepEqual(variance(x, 1, { keepdim: true }).tolist(), x.var(1, { keepdim: true }).tolist());
  assert.deepEqual(any(tensor([[true], [false]]), 1).tolist(), [true, false]);
});

test('max is three operators', () => {
  const x = matrix();
  assert.equal(max(x).item(), 6);
  assert.deepEqual(max(x, tensor([5, 5, 5])).tolist(), [
    [5, 5, 5],
    [5, 6, 5],
  ]);
  const [values, indices] = x.max(1, true);
  assert.deepEqual(
    [values.tolist(), indices.tolist()],
    [
      [[3], [6]],
      [[0], [1]],
    ],
  );
  assert.equal(indices.dtype, 'int64');
});

test('clamp takes numbers, null and tensors', () => {
  const x = tensor([-2, 0, 2]);
  assert.deepEqual(clamp(x, -1, 1).tolist(), [-1, 0, 1]);
  assert.deepEqual(clamp(x, null, 1).tolist(), [-2, 0, 1]);
  assert.deepEqual(clamp(x, undefined, 1).tolist(), [-2, 0, 1]);
  assert.deepEqual(clamp(x, null, tensor([-3, -3, 3])).tolist(), [-3, -3, 2]);
  assert.deepEqual(clamp(x, tensor([0])).tolist(), [0, 0, 2]);
});

test('words choose between overloads and stand for numbers', () => {
  const [x, weight] = [ones([1, 1, 5]), ones([1, 1, 3])];
  assert.deepEqual(conv1d(x, weight, null, 1, 'same').shape, [1, 1, 5]);
  assert.deepEqual(conv1d(x, weight, null, 1, 1).shape, [1, 1, 5]);
  assert.deepEqual(conv1d(x, weight).shape, [1, 1, 3]);
  assert.deepEqual(conv2d(ones([1, 1, 5, 5]), ones([1, 1, 3, 3]), null, [1, 2]).shape, [1, 1, 3, 2]);
  const [a, b] = [tensor([1, 2]), tensor([3, 5])];
  assert.equal(mseLoss(a, b).item(), 6.5);
  assert.equal(mseLoss(a, b, 'sum').item(), 13);
  assert.deepEqual(a.mseLoss(b, 'none').tolist(), [4, 9]);
  assert.throws(() => mseLoss(a, b, 'most' as never), {
    name: 'TypeError',
    code: 'ERR_SPIKENODE_TYPE',
    message: /^mse_loss: argument 'reduction' must be one of 'none', 'mean', 'sum', got "most"/,
  });
  assert.throws(() => mseLoss(a, b, 1 as never), TypeError);
  const loss = crossEntropyLoss(tensor([[0, 0]]), tensor([1n]), null, 'sum', -100, 0.5);
  assert.ok(Math.abs((loss.item() as number) - Math.LN2) < 1e-6);
  assert.equal(linalgNorm(tensor([[3, 4]]), 'fro').item(), 5);
  assert.equal(linalgNorm(tensor([3, 4]), { dtype: 'float64' }).dtype, 'float64');
  assert.equal(linalgNorm(tensor([3, 4]), 1).item(), 7);
});

test('where, scatter, sort, split, squeeze and view by their arguments', () => {
  const condition = tensor([true, false]);
  assert.deepEqual(where(condition, 1, tensor([5, 6])).tolist(), [1, 6]);
  assert.deepEqual(where(condition, tensor([5, 6]), 0).tolist(), [5, 0]);
  assert.deepEqual(where(condition, 1.5, -1).tolist(), [1.5, -1]);
  assert.deepEqual(
    where(condition).map((index) => index.tolist()),
    [[0]],
  );
  const index = tensor([[1n, 0n]]);
  assert.deepEqual(scatter(zeros([1, 2]), 1, index, 7).tolist(), [[7, 7]]);
  assert.deepEqual(scatter(zeros([1, 2]), 1, index, tensor([[1, 2]])).tolist(), [[2, 1]]);
  assert.deepEqual(scatter(ones([1, 2]), 1, index, 7, { reduce: 'add' }).tolist(), [[8, 8]]);
  assert.deepEqual(sort(tensor([2, 3, 1]))[0].tolist(), [1, 2, 3]);
  assert.deepEqual(tensor([2, 3, 1]).sort({ descending: true, stable: true })[0].tolist(), [3, 2, 1]);
  assert.deepEqual(
    split(arange(5), 2).map((part) => part.shape),
    [[2], [2], [1]],
  );
  assert.deepEqual(
    split(arange(5), [1, 4]).map((part) => part.shape),
    [[1], [4]],
  );
  assert.deepEqual(squeeze(ones([1, 2, 1])).shape, [2]);
  assert.deepEqual(squeeze(ones([1, 2, 1]), 0).shape, [2, 1]);
  assert.deepEqual(squeeze(ones([1, 2, 1]), [0, 2]).shape, [2]);
  assert.deepEqual(view(ones([4]), [2, -1]).shape, [2, 2]);
  assert.equal(view(ones([1]), 'int32').item(), 0x3f800000);
  assert.deepEqual(round(tensor([1.26]), { decimals: 1 }).tolist(), [Math.fround(1.3)]);
  assert.deepEqual(
    matrix()
      .index([null, tensor([2n, 0n])])
      .tolist(),
    [
      [2, 3],
      [5, 4],
    ],
  );
  assert.deepEqual(slice(arange(6), 0, 1, null, 2).tolist(), [1, 3, 5]);
  assert.deepEqual(cat([ones([1, 2]), zeros([1, 2])], 1).tolist(), [[1, 1, 0, 0]]);
  assert.deepEqual(maxPool2d(arange(16).reshape([1, 4, 4]), 2).tolist(), [
    [
      [5, 7],
      [13, 15],
    ],
  ]);
  assert.deepEqual(addmm(ones([1]), eye(2), eye(2), { beta: 2, alpha: 3 }).tolist(), [
    [5, 2],
    [2, 5],
  ]);
});

test('factories are float32 unless a dtype or a bigint is given', () => {
  assert.equal(zeros([2]).dtype, 'float32');
  assert.equal(full([2], 3).dtype, 'float32');
  assert.equal(full([2], 3n).dtype, 'int64');
  assert.equal(full([2], 3n, { dtype: 'float64' }).dtype, 'float64');
  assert.equal(arange(3).dtype, 'float32');
  assert.deepEqual(arange(3n).tolist(), [0, 1, 2]);
  assert.equal(arange(0, 3n).dtype, 'int64');
  assert.deepEqual(arange(1, 7, 2).tolist(), [1, 3, 5]);
  assert.deepEqual(arange(1, 3, { dtype: 'float64' }).tolist(), [1, 2]);
  assert.equal(eye(2, 3, { dtype: 'bool' }).dtype, 'bool');
  assert.equal(randint(5, [2]).dtype, 'int64');
  assert.equal(randperm(3).dtype, 'int64');
  assert.equal(onesLike(tensor([1n])).dtype, 'int64');
  const leaf = zeros([2], { requiresGrad: true, device: 'cpu' });
  assert.ok(leaf.requiresGrad && leaf.isLeaf);
  assert.ok(!zeros([2], { requiresGrad: false }).requiresGrad);
  assert.throws(
    () => zeros([2], { requiresGrad: 1 as never }),
    /argument 'requiresGrad' must be a boolean, got 1/,
  );
});

test('random operators follow the seed and a generator', () => {
  const draw = (): unknown[] => [
    randint(5, 100, [3], { generator: new Generator({ seed: 1 }) }).tolist(),
    normal(0, 1, [2], { generator: new Generator({ seed: 1 }) }).tolist(),
    normal(zeros([2]), { generator: new Generator({ seed: 1 }) }).tolist(),
    uniform_(zeros([2]), 1, 2, { generator: new Generator({ seed: 1 }) }).tolist(),
  ];
  assert.deepEqual(draw(), draw());
  manualSeed(3);
  const first = uniform_(zeros([2]), { generator: null }).tolist();
  manualSeed(3);
  assert.deepEqual(zeros([2]).uniform_().tolist(), first);
  assert.throws(
    () => uniform_(zeros([2]), 0, 1, { generator: {} as never }),
    /argument 'generator' must be a Generator/,
  );
});

test('in-place operators return the object, plain values come out as they are', () => {
  const x = ones([2]);
  assert.equal(x.mul_(3).clamp_(0, 2), x);
  assert.deepEqual(x.tolist(), [2, 2]);
  assert.equal(equal(x, x), true);
  assert.equal(allclose(x, x.add(1)), false);
});

test('wrong arguments are errors that name operator and argument', () => {
  const x = ones([2]);
  const cases: [() => unknown, RegExp][] = [
    [() => add(x, 'a' as never), /^add: argument 'other' must be a number or Tensor, got/],
    [() => add(x, [1] as never), /^add: argument 'other' must be a Tensor, got an array/],
    [() => add(1 as never, x), /^add: argument 'self' must be a Tensor, got 1/],
    [() => add(x, undefined as never), /^add: argument 'other' is required/],
    [
      () => x.add(1, { beta: 2 } as never),
      /^add: argument 'options' must be an object with alpha, got "beta"/,
    ],
    [() => x.add(1, 2 as never), /^add: argument 'options' must be an object, got 2/],
    [() => x.sum('a' as never), /^sum: argument 'dim' must be/],
    [() => x.sum(0, 1 as never), /^sum: argument 'keepdim' must be/],
    [() => cat(x as never), /^cat: argument 'tensors' must be an array of Tensors, got an object/],
    [() => cat([x, 1] as never), /^cat: argument 'tensors' must be a Tensor, got 1/],
    [() => x.index([0] as never), /^index: argument 'indices' must be a Tensor, got 0/],
    [() => zeros(2 as never), /^zeros: argument 'size' must be/],
  ];
  for (const [call, message] of cases) assert.throws(call, { name: 'TypeError', message });
  for (const size of [2 ** 53 - 1, 2n ** 63n - 1n, -(2 ** 40)]) {
    assert.throws(() => maxPool1d(ones([1, 5]), [size as number]), {
      name: 'ShapeError',
      message: /^max_pool1d: argument 'kernel_size' must be between/,
    });
  }
  assert.throws(() => arange(0, -(2n ** 63n), -1), {
    message: /^arange: argument 'end' must be a safe integer/,
  });
  assert.throws(() => maxPool1d(ones([1, 5]), Number.NaN), { name: 'TypeError' });
  assert.throws(() => zeros([0]).chunk(2 ** 20), {
    name: 'ShapeError',
    message: "chunk: argument 'chunks' must be between -2^20 and 2^20 - 1, got 1048576",
  });
  assert.equal(zeros([0]).chunk(3).length, 3);
});

test('the types follow the overloads', () => {
  expectTypeOf(max(matrix())).toEqualTypeOf<Tensor>();
  expectTypeOf(max(matrix(), 1)).toEqualTypeOf<readonly [values: Tensor, indices: Tensor]>();
  expectTypeOf(matrix().max(1)[1]).toEqualTypeOf<Tensor>();
  expectTypeOf(split(matrix(), 1)).toEqualTypeOf<Tensor[]>();
  expectTypeOf(equal(matrix(), matrix())).toEqualTypeOf<boolean>();
  expectTypeOf<Tensor['add']>().parameter(0).toEqualTypeOf<Tensor | number | bigint | boolean>();
  class Weight extends Tensor {}
  expectTypeOf<ReturnType<Weight['zero_']>>().toEqualTypeOf<Weight>();
  expectTypeOf(mseLoss).parameter(2).toEqualTypeOf<'none' | 'mean' | 'sum' | undefined>();
});

test('the smallest integer divided by -1 is an error, where the processor would trap', () => {
  for (const [dtype, smallest] of [
    ['int64', -(2n ** 63n)],
    ['int32', -(2n ** 31n)],
  ] as const) {
    const x = tensor([smallest, 6n]).to(dtype);
    const by = tensor([-1n, 3n]).to(dtype);
    const calls = [
      () => x.div(by, { roundingMode: 'trunc' }),
      () => x.div_(-1, { roundingMode: 'floor' }),
      () => x.floorDivide(-1),
      () => x.remainder(by),
      () => x.fmod(-1),
    ];
    for (const call of calls) {
      assert.throws(
        call,
        (e: unknown) =>
          e instanceof ShapeError && /the quotient of -\d+ and -1 is out of range/.test(e.message),
      );
    }
    assert.deepEqual(x.div(by).shape, [2]);
    assert.deepEqual(
      x
        .floorDivide(tensor([1n, -1n]).to(dtype))
        .narrow(0, 1, 1)
        .tolist(),
      [-6],
    );
  }
});
