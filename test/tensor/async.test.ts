import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutOfMemoryError } from '../../lib/errors.js';
import { queued } from '../../lib/tensor/dispatch.js';
import { _ampForeachNonFiniteCheckAndUnscale_ } from '../../lib/tensor/internal.generated.js';
import { addon, Operator } from '../../lib/tensor/operator.js';
import { fromHandle, handleOf } from '../../lib/tensor/tensor.js';
import {
  enableGrad,
  getNumThreads,
  manualSeed,
  matmul,
  memory,
  noGrad,
  ones,
  randn,
  ShapeError,
  setNumThreads,
  type Tensor,
  TorchError,
  tensor,
  tidy,
  zeros,
} from './helpers.js';

// Calls on the native thread, as the addon has them: Tensors become handles, results are those of the addon.
function callAsync(name: string, overload: string, ...args: readonly unknown[]): Promise<unknown> {
  const operator = new Operator(name, overload);
  const plain = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(plain);
    return value !== null && typeof value === 'object' ? handleOf(value) : value;
  };
  return operator.bound().callAsync(operator.id, ...args.map(plain));
}

async function tensorOf(promise: Promise<unknown>): Promise<Tensor> {
  return fromHandle((await promise) as number);
}

test('results of every kind: tensors, lists, tuples, numbers, undefined tensors, objects given', async () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  assert.deepEqual((await tensorOf(callAsync('aten::add', 'Tensor', x, x))).tolist(), x.mul(2).tolist());
  const parts = (await callAsync('aten::split', 'Tensor', x, 1)) as number[];
  assert.deepEqual(
    parts.map((handle) => fromHandle(handle).tolist()),
    [[[1, 2, 3]], [[4, 5, 6]]],
  );
  const [values, indices] = (await callAsync('aten::max', 'dim', x, 1)) as [number, number];
  assert.deepEqual(fromHandle(values).tolist(), [3, 6]);
  assert.deepEqual(fromHandle(indices).tolist(), [2, 2]);
  assert.equal(await callAsync('aten::equal', '', x, x), true);
  assert.equal(await callAsync('aten::add_', 'Scalar', x, 1), undefined);
  assert.deepEqual(x.tolist(), [
    [2, 3, 4],
    [5, 6, 7],
  ]);
  const lif = (await callAsync('spikenode::lif', '', ones([2, 3]), zeros([3]))) as unknown[];
  assert.equal(lif[2], null);
});

test('calls run in their order, after asynchronous backwards and before later reads', async () => {
  const x = zeros([1]);
  const pending: Promise<unknown>[] = [];
  for (let i = 0; i < 50; i++) {
    pending.push(callAsync('aten::mul_', 'Scalar', x, 2), callAsync('aten::add_', 'Scalar', x, 1));
  }
  // Of float32, which holds 2^24 - 1 exactly but not 2^50 - 1.
  assert.equal(await x.itemAsync(), 2 ** 50);
  await Promise.all(pending);
  const w = ones([3], { requiresGrad: true });
  const done = w.mul(4).sum().backwardAsync();
  await done;
  const halved = callAsync('aten::mul_', 'Scalar', w.grad as Tensor, 0.5);
  assert.deepEqual(await (w.grad as Tensor).tolistAsync(), [2, 2, 2]);
  await halved;
});

test('arguments that are disposed while the call is in flight are still its arguments', async () => {
  manualSeed(1);
  const [a, b] = [randn([200, 200]), randn([200, 200])];
  const expected = matmul(a, b).toTypedArray();
  const before = memory().tensors;
  const pending: Promise<unknown>[] = [];
  for (let i = 0; i < 20; i++) {
    tidy(() => {
      pending.push(callAsync('aten::matmul', '', a.clone(), b.clone()));
    });
  }
  a.dispose();
  b.dispose();
  assert.equal(memory().tensors, before - 2);
  for (const promise of pending) {
    using product = await tensorOf(promise);
    assert.deepEqual(product.toTypedArray(), expected);
  }
  assert.ok(memory().tensors <= before - 2);
});

test('grad mode and thread count are those of the call', async () => {
  const x = ones([2], { requiresGrad: true });
  const pending: Promise<unknown>[] = [];
  const push = (): void => {
    pending.push(callAsync('aten::mul', 'Scalar', x, 3));
  };
  noGrad(push);
  noGrad(() => enableGrad(push));
  const [off, on] = await Promise.all(pending.map(tensorOf));
  assert.equal(off?.requiresGrad, false);
  on?.sum().backward();
  assert.deepEqual((x.grad as Tensor).tolist(), [3, 3]);
  const threads = getNumThreads();
  try {
    setNumThreads(1);
    manualSeed(5);
    const [a, b] = [randn([300, 300]), randn([300, 300])];
    const expected = matmul(a, b).toTypedArray();
    assert.deepEqual((await tensorOf(callAsync('aten::matmul', '', a, b))).toTypedArray(), expected);
  } finally {
    setNumThreads(threads);
  }
});

test('failures are the errors of the same call at once; wrong arguments are thrown', async () => {
  const [a, b] = [ones([2, 3]), ones([2, 3])];
  const caught = (fn: () => unknown): Error => {
    try {
      fn();
    } catch (error) {
      return error as Error;
    }
    throw new Error('nothing was thrown');
  };
  for (const [fn, promise] of [
    [() => matmul(a, b), callAsync('aten::matmul', '', a, b)],
    [() => a.sum(5), callAsync('aten::sum', 'dim_IntList', a, [5])],
    [() => zeros([-1]), callAsync('aten::zeros', '', [-1], 'float32')],
    [() => zeros([2 ** 50]), callAsync('aten::zeros', '', [2 ** 50], 'float32')],
  ] as const) {
    const expected = caught(fn);
    await assert.rejects(promise, (error: Error) => {
      assert.equal(error.constructor, expected.constructor);
      assert.equal(
        error.message.replace(/live \S+|\d+ live/g, ''),
        expected.message.replace(/live \S+|\d+ live/g, ''),
      );
      return true;
    });
  }
  assert.ok(caught(() => matmul(a, b)) instanceof TorchError);
  assert.ok(caught(() => a.sum(5)) instanceof ShapeError);
  assert.ok(caught(() => zeros([2 ** 50])) instanceof OutOfMemoryError);
  const gone = ones([1]);
  gone.dispose();
  assert.throws(() => callAsync('aten::neg', '', gone), { name: 'DisposedError' });
  assert.throws(() => callAsync('aten::neg', '', 'x'), {
    name: 'TypeError',
    message: "neg: argument 'self' must be a Tensor, got a string",
  });
  assert.throws(() => addon().callAsync(-1), { name: 'TypeError' });
  assert.throws(() => callAsync('aten::neg', '', a, 1), {
    message: 'neg: takes at most 1 arguments, got 2',
  });
});

test('queued: heavy operators wait for their turn, the promise for all of them and the first error', async () => {
  const inverse = tensor(0.5);
  const divide = (gradients: readonly Tensor[], found: Tensor): void =>
    _ampForeachNonFiniteCheckAndUnscale_(gradients, found, inverse);
  const [x, y, z] = [ones([2]), tensor([Infinity, 4]), ones([2])];
  const [found, wrong] = [zeros([1]), zeros([2])];
  const good = queued(() => {
    divide([x], found);
    divide([y], found);
  });
  await good;
  assert.deepEqual([x.tolist(), y.tolist(), found.item()], [[0.5, 0.5], [Infinity, 2], 1]);
  const bad = queued(() => {
    divide([x], wrong);
    divide([z], found);
  });
  await assert.rejects(bad, /found_inf must be a 1-element tensor/);
  assert.deepEqual(z.tolist(), [0.5, 0.5]);
  const thrown = queued(() => {
    divide([z], found);
    throw new Error('in fn');
  });
  await assert.rejects(thrown, /in fn/);
  assert.deepEqual(z.tolist(), [0.25, 0.25]);
  divide([z], found);
  assert.deepEqual(z.tolist(), [0.125, 0.125]);
});
