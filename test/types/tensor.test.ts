// What the compiler says of tensors, beside what they do: each wrong use is an error of both.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expectTypeOf } from 'expect-type';
import {
  arange,
  type Device,
  DisposedError,
  type DType,
  DTypeError,
  full,
  Generator,
  isTensor,
  keep,
  type MemoryReport,
  memory,
  type NestedArray,
  noGrad,
  ones,
  Parameter,
  randn,
  Scope,
  ShapeError,
  type SpikenodeError,
  stack,
  type Tensor,
  TorchError,
  type TypedArray,
  tensor,
  tidy,
  where,
  zeros,
} from '../../lib/index.js';

const matrix = (): Tensor => ones([2, 3]);

test('tensors are made of numbers, booleans, bigints and typed arrays', () => {
  expectTypeOf(
    tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { shape: [4], dtype: 'int64', requiresGrad: false },
    ),
  ).toEqualTypeOf<Tensor>();
  expectTypeOf(tensor(new Float32Array(2), { device: 'cpu' })).toEqualTypeOf<Tensor>();
  expectTypeOf(tensor(true)).toEqualTypeOf<Tensor>();
  expectTypeOf(tensor([1n])).toEqualTypeOf<Tensor>();
  // @ts-expect-error text is no data
  assert.throws(() => tensor('1'), TypeError);
  // @ts-expect-error a dtype is one of some words
  assert.throws(() => tensor([1], { dtype: 'float' }), Error);
  // @ts-expect-error a typed array without a dtype of its own
  assert.throws(() => tensor(new Uint32Array(1)), TypeError);
  // @ts-expect-error a shape is a list
  assert.throws(() => zeros(2), TypeError);
  // @ts-expect-error an option that does not exist
  assert.throws(() => zeros([2], { type: 'float32' }), TypeError);
});

test('devices and dtypes are words', () => {
  expectTypeOf<'cuda:1'>().toExtend<Device>();
  expectTypeOf<'gpu'>().not.toExtend<Device>();
  expectTypeOf<'float'>().not.toExtend<DType>();
  expectTypeOf(matrix().dtype).toEqualTypeOf<DType>();
  expectTypeOf(matrix().device).toEqualTypeOf<Device>();
  expectTypeOf(matrix().shape).toEqualTypeOf<readonly number[]>();
  expectTypeOf<Tensor>().toHaveProperty('requiresGrad').toEqualTypeOf<boolean>();
  // @ts-expect-error shape is read only
  assert.throws(() => (matrix().shape = [6]), TypeError);
});

test('to takes a dtype, a device or both', () => {
  expectTypeOf(matrix().to('float64')).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().to('cpu')).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().to({ dtype: 'int32', device: 'cpu', copy: true })).toEqualTypeOf<Tensor>();
  // @ts-expect-error no such word
  assert.throws(() => matrix().to('float'), Error);
  // @ts-expect-error a dtype is a word, not a number
  assert.throws(() => matrix().to(32), TypeError);
});

test('operators have one type a form', () => {
  expectTypeOf(matrix().sum()).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().sum([0, 1], true, { dtype: 'float64' })).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().max()).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().max(0, true)).toEqualTypeOf<readonly [values: Tensor, indices: Tensor]>();
  expectTypeOf(matrix().max(matrix())).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().topk(1)).toEqualTypeOf<readonly [values: Tensor, indices: Tensor]>();
  expectTypeOf(where(matrix())).toEqualTypeOf<Tensor[]>();
  expectTypeOf(where(matrix().gt(0), matrix(), 0)).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().unbind(0)).toEqualTypeOf<Tensor[]>();
  expectTypeOf(matrix().view([3, 2])).toEqualTypeOf<Tensor>();
  expectTypeOf(arange(0, 3, 1, { dtype: 'int64' })).toEqualTypeOf<Tensor>();
  expectTypeOf(full([2], 1n)).toEqualTypeOf<Tensor>();
  expectTypeOf(randn([2], { generator: new Generator({ seed: 1 }) })).toEqualTypeOf<Tensor>();
  // @ts-expect-error keepdim alone
  assert.throws(() => matrix().sum(true), TypeError);
  // @ts-expect-error an operator takes no text for a tensor
  assert.throws(() => matrix().add('1'), TypeError);
  // @ts-expect-error a list of tensors
  assert.throws(() => stack(matrix()), TypeError);
  // @ts-expect-error one tensor of two
  assert.throws(() => matrix().matmul(), TypeError);
});

test('indexing is by select, slice and index', () => {
  const rows = tensor([0, 1], { dtype: 'int64' });
  expectTypeOf(matrix().select(0, 1)).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().slice(1, 0, null, 2)).toEqualTypeOf<Tensor>();
  expectTypeOf(matrix().index([null, rows])).toEqualTypeOf<Tensor>();
  assert.deepEqual(matrix().index([rows, null]).shape, [2, 3]);
  // @ts-expect-error indices are tensors
  assert.throws(() => matrix().index([0]), TypeError);
  // @ts-expect-error a place is a number
  assert.throws(() => matrix().select(0, '1'), TypeError);
});

test('an operator in place gives the object it was called on', () => {
  const weight = new Parameter(matrix(), false);
  expectTypeOf(weight.mul_(2)).toEqualTypeOf<Parameter>();
  assert.equal(weight.mul_(2), weight);
  expectTypeOf(weight.mul(2)).toEqualTypeOf<Tensor>();
});

test('values come out as numbers, lists and typed arrays, and later too', async () => {
  expectTypeOf(matrix().sum().item()).toEqualTypeOf<number | boolean>();
  expectTypeOf(matrix().tolist()).toEqualTypeOf<NestedArray>();
  expectTypeOf(matrix().toTypedArray()).toEqualTypeOf<TypedArray>();
  expectTypeOf(await matrix().sum().itemAsync()).toEqualTypeOf<number | boolean>();
  expectTypeOf(await matrix().tolistAsync()).toEqualTypeOf<NestedArray>();
  expectTypeOf(await matrix().toTypedArrayAsync()).toEqualTypeOf<TypedArray>();
});

test('gradients', async () => {
  const x = tensor([1, 2], { requiresGrad: true });
  expectTypeOf(x.grad).toEqualTypeOf<Tensor | null>();
  expectTypeOf(x.backward).parameter(0).toEqualTypeOf<Tensor | null | undefined>();
  x.sum().backward(undefined, { retainGraph: true, createGraph: false, inputs: [x] });
  const done = x.sum().backwardAsync();
  expectTypeOf(done).toEqualTypeOf<Promise<void>>();
  await done;
  x.grad = null;
  // @ts-expect-error an option of another name
  const unknown = (): void => x.sum().backward(null, { retain_graph: true });
  assert.equal(typeof unknown, 'function');
});

test('scopes give what their function gives, and refuse promises', async () => {
  expectTypeOf(tidy(() => [matrix()] as const)).toEqualTypeOf<readonly [Tensor]>();
  expectTypeOf(noGrad(() => 1)).toEqualTypeOf<number>();
  expectTypeOf(new Scope().run(() => 'x')).toEqualTypeOf<string>();
  expectTypeOf(keep(new Parameter(matrix()))).toEqualTypeOf<Parameter>();
  assert.throws(() => tidy(async () => matrix()), TypeError);
  expectTypeOf(memory()).toEqualTypeOf<MemoryReport>();
  expectTypeOf(memory().owners.parameters.bytes).toEqualTypeOf<number>();
});

test('using gives the memory back at the end of the block', () => {
  let outer: Tensor;
  {
    using x = matrix();
    using scope = new Scope();
    using generator = new Generator();
    scope.add(x.add(1));
    expectTypeOf(generator.getState()).toEqualTypeOf<Tensor>();
    outer = x;
  }
  assert.ok(outer.disposed);
  assert.throws(() => outer.sum(), DisposedError);
});

test('isTensor tells the compiler too', () => {
  const value: unknown = matrix();
  assert.ok(isTensor(value));
  expectTypeOf(value).toEqualTypeOf<Tensor>();
});

test('errors of tensors have a code and the class of JavaScript that fits', () => {
  expectTypeOf<ShapeError>().toExtend<SpikenodeError & RangeError>();
  expectTypeOf<DTypeError>().toExtend<SpikenodeError & TypeError>();
  expectTypeOf<TorchError>().toExtend<SpikenodeError>();
  expectTypeOf<SpikenodeError['code']>().toEqualTypeOf<string>();
  assert.equal(new ShapeError('x').code, 'ERR_SPIKENODE_SHAPE');
  assert.equal(new DTypeError('x').code, 'ERR_SPIKENODE_DTYPE');
  assert.equal(new TorchError('x').code, 'ERR_SPIKENODE_TORCH');
});
