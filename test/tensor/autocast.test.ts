import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addon, Operator } from '../../lib/tensor/operator.js';
import { fromHandle, handleOf } from '../../lib/tensor/tensor.js';
import {
  add,
  autocast,
  conv2d,
  crossEntropyLoss,
  cudaIsAvailable,
  type DType,
  integrateFire,
  isAutocastEnabled,
  lif,
  linear,
  manualSeed,
  matmul,
  memory,
  mseLoss,
  noGrad,
  randn,
  type Tensor,
  TorchError,
  tensor,
  tidy,
  zeros,
} from './helpers.js';

test('operators on the lists convert, the others keep the dtype that they get', () => {
  manualSeed(1);
  const [x, w, b] = [randn([4, 8]), randn([3, 8]), randn([3])];
  const inside = (): Record<string, DType> => {
    const y = linear(x, w, b);
    const targets = tensor([0n, 1n, 2n, 0n]);
    return {
      linear: y.dtype,
      matmul: matmul(x, w.t()).dtype,
      conv: conv2d(randn([1, 2, 5, 5]), randn([3, 2, 3, 3])).dtype,
      sum: y.sum().dtype,
      sumOfFloats: x.sum().dtype,
      softmaxOfFloats: x.softmax(1).dtype,
      relu: y.relu().dtype,
      mixed: add(y, x.sum(1, true)).dtype,
      crossEntropy: crossEntropyLoss(y, targets).dtype,
      mse: mseLoss(y, y.detach()).dtype,
      double: matmul(x.to('float64'), w.t().to('float64')).dtype,
      integers: tensor([1n, 2n]).mul(2).dtype,
    };
  };
  const lower = ['linear', 'matmul', 'conv', 'sum', 'relu'];
  const own: Readonly<Record<string, DType>> = { double: 'float64', integers: 'int64' };
  for (const dtype of ['bfloat16', 'float16'] as const) {
    const found = autocast({ dtype }, inside);
    for (const [name, got] of Object.entries(found)) {
      const expected = lower.includes(name) ? dtype : (own[name] ?? 'float32');
      assert.equal(got, expected, `${name} in ${dtype}`);
    }
  }
  for (const [name, got] of Object.entries(inside())) assert.equal(got, own[name] ?? 'float32', name);
});

test('the values are those of a computation in the lower precision', () => {
  manualSeed(2);
  const [x, w] = [randn([4, 8]), randn([3, 8])];
  const expected = linear(x.to('bfloat16'), w.to('bfloat16'));
  const found = autocast({}, () => linear(x, w));
  assert.deepEqual(found.tolist(), expected.tolist());
  assert.notDeepEqual(found.tolist(), linear(x, w).tolist());
});

test('gradients reach float32 parameters in float32', () => {
  manualSeed(3);
  const x = randn([5, 8]);
  const w = randn([3, 8], { requiresGrad: true });
  const b = randn([3], { requiresGrad: true });
  const loss = autocast({}, () => crossEntropyLoss(linear(x, w, b), tensor([0n, 1n, 2n, 0n, 1n])));
  assert.equal(loss.dtype, 'float32');
  loss.backward();
  const lower = [w.grad as Tensor, b.grad as Tensor];
  for (const gradient of lower) assert.equal(gradient.dtype, 'float32');
  const other = w.detach().clone();
  other.requiresGrad = true;
  crossEntropyLoss(linear(x, other, b), tensor([0n, 1n, 2n, 0n, 1n])).backward();
  const exact = (other.grad as Tensor).toTypedArray() as Float32Array;
  const found = (lower[0] as Tensor).toTypedArray() as Float32Array;
  assert.ok(found.some((value, i) => value !== exact[i]));
  assert.ok(found.every((value, i) => Math.abs(value - exact[i]!) < 0.02));
});

test('a forward without recording does not take the gradient from the next one', () => {
  const x = randn([2, 4]);
  const w = randn([3, 4], { requiresGrad: true });
  autocast({}, () => {
    assert.equal(noGrad(() => linear(x, w)).requiresGrad, false);
    linear(x, w).sum().backward();
  });
  const gradient = w.grad;
  assert.ok(gradient !== null && gradient.abs().sum().item() !== 0);
});

test('neurons keep the dtype of what the layer before emitted', () => {
  const state = { float32: zeros([6]), float64: zeros([6], { dtype: 'float64' }) };
  for (const dtype of ['float32', 'float64'] as const) {
    const x = randn([4, 6], { dtype, requiresGrad: true });
    autocast({}, () => {
      const [s, v] = lif(x, state[dtype], { surrogate: 'ATan' });
      assert.deepEqual([s.dtype, v.dtype], [dtype, dtype]);
      assert.equal(integrateFire(x, state[dtype], { surrogate: 'ATan' })[0].dtype, dtype);
      s.sum().backward();
    });
    assert.equal((x.grad as Tensor).dtype, dtype);
  }
});

test('regions nest, end with their function, and restore on a throw', () => {
  const [x, w] = [randn([2, 4]), randn([3, 4])];
  const dtype = (): DType => linear(x, w).dtype;
  autocast({}, () => {
    assert.equal(dtype(), 'bfloat16');
    autocast({ dtype: 'float16' }, () => assert.equal(dtype(), 'float16'));
    assert.equal(dtype(), 'bfloat16');
    autocast({ enabled: false }, () => {
      assert.equal(isAutocastEnabled(), false);
      assert.equal(dtype(), 'float32');
    });
    const failing = (): never => {
      throw new Error('inside');
    };
    assert.throws(() => autocast({ dtype: 'float16' }, failing), /^Error: inside$/);
    assert.equal(dtype(), 'bfloat16');
    assert.equal(isAutocastEnabled('cuda'), false);
  });
  assert.equal(dtype(), 'float32');
  assert.equal(isAutocastEnabled(), false);
  assert.equal(
    autocast({}, () => 7),
    7,
  );
});

test('weights are converted once a region, and the copies go with it', () => {
  const x = randn([1, 1024]);
  const w = randn([1024, 1024], { requiresGrad: true });
  const copied = (cacheEnabled: boolean): number =>
    autocast({ cacheEnabled }, () => {
      const before = memory().bytes;
      tidy(() => void linear(x, w));
      return memory().bytes - before;
    });
  const before = memory().bytes;
  assert.ok(copied(true) >= 2 * 1024 * 1024);
  assert.ok(memory().bytes - before < 4096);
  assert.ok(copied(false) < 4096);
});

test('wrong options are errors that name them', () => {
  const call =
    (options: unknown, fn: unknown = () => 1) =>
    () =>
      autocast(options as never, fn as never);
  assert.throws(call({ dtype: 'float32' }), {
    name: 'TypeError',
    code: 'ERR_SPIKENODE_TYPE',
    message: "autocast: argument 'dtype' must be 'bfloat16' or 'float16', got 'float32'",
  });
  assert.throws(call({ device: 'tpu' }), {
    name: 'TypeError',
    message: "autocast: argument 'device' must be 'cpu' or 'cuda', got 'tpu'",
  });
  assert.throws(call({ enabled: 1 }), {
    message: "autocast: argument 'enabled' must be a boolean, got 1",
  });
  assert.throws(call({ cache: true }), {
    message:
      'autocast: argument \'options\' must be an object with dtype, device, enabled, cacheEnabled, got "cache"',
  });
  assert.throws(call(undefined), {
    message: "autocast: argument 'options' must be an object, got undefined",
  });
  assert.throws(call({}, 3), { message: "autocast: argument 'fn' must be a function, got 3" });
  assert.throws(
    call({}, async () => 1),
    { message: 'autocast: the function must be synchronous, but it returned a promise' },
  );
  assert.throws(() => addon().exitAutocast(), { message: 'exitAutocast: no region is open' });
  assert.equal(isAutocastEnabled(), false);
});

test('autocast for cuda is an error where there is none, off it is not', { skip: cudaIsAvailable() }, () => {
  assert.throws(() => autocast({ device: 'cuda' }, () => 1), TorchError);
  assert.equal(
    autocast({ device: 'cuda', enabled: false }, () => 2),
    2,
  );
});

test('an asynchronous call has the settings of the region that it was made in, and leaves no copies', async () => {
  const native = addon();
  const operator = new Operator('aten::linear', '');
  operator.bound();
  const x = randn([1, 512]);
  const w = randn([512, 512], { requiresGrad: true });
  const call = (): Promise<unknown> => native.callAsync(operator.id, handleOf(x), handleOf(w), null);
  const pending: Promise<unknown>[] = [];
  const push = (): void => {
    pending.push(call());
  };
  autocast({}, push);
  autocast({ dtype: 'float16' }, push);
  push();
  autocast({}, () => autocast({ enabled: false }, push));
  const before = memory().bytes;
  const results = (await Promise.all(pending)).map((handle) => fromHandle(handle as number));
  assert.deepEqual(
    results.map(({ dtype }) => dtype),
    ['bfloat16', 'float16', 'float32', 'float32'],
  );
  for (const result of results) result.dispose();
  assert.ok(memory().bytes - before < 4096);
});
