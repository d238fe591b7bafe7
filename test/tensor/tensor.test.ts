import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import {
  add,
  conv2d,
  cudaIsAvailable,
  type Device,
  DTypeError,
  enableGrad,
  Generator,
  getNumThreads,
  getRngState,
  isGradEnabled,
  largestDifference,
  manualSeed,
  noGrad,
  ones,
  rand,
  randomNumbers,
  ShapeError,
  setNumThreads,
  setRngState,
  synchronize,
  Tensor,
  TorchError,
  tensor,
  unsafeOperator,
  values,
  zeros,
} from './helpers.js';

test('tensor() takes nested arrays and typed arrays, and gives them back', () => {
  assert.deepEqual(
    tensor([
      [1, 2],
      [3, 4],
    ]).tolist(),
    [
      [1, 2],
      [3, 4],
    ],
  );
  assert.equal(tensor([1.5]).dtype, 'float32');
  assert.equal(tensor([true, false]).dtype, 'bool');
  assert.deepEqual(tensor([true, false]).tolist(), [true, false]);
  assert.equal(tensor([1n]).dtype, 'int64');
  assert.deepEqual(tensor([]).shape, [0]);
  assert.deepEqual(tensor(3).shape, []);
  assert.deepEqual(tensor(new Int32Array([1, 2, 3, 4]), { shape: [2, 2] }).tolist(), [
    [1, 2],
    [3, 4],
  ]);
  for (const array of [
    new Float64Array([0.1]),
    new Int8Array([-1]),
    new BigInt64Array([5n]),
    new Uint8Array([255]),
  ]) {
    assert.deepEqual(tensor(array).toTypedArray(), array);
  }
  assert.ok(tensor([0.1], { dtype: 'float16' }).toTypedArray() instanceof Float32Array);
  assert.deepEqual(tensor([1, 2], { dtype: 'float64' }).tolist(), [1, 2]);
  assert.equal(tensor([0.1], { dtype: 'float64' }).item(), 0.1);
});

test('tensor() refuses ragged, cyclic and mixed nests and wrong shapes', () => {
  const cyclic: unknown[] = [];
  cyclic.push(cyclic);
  for (const bad of [[[1], [1, 2]], cyclic, [1, true], [1, 'a'], ['a'], {}, 'abc', null, undefined]) {
    assert.throws(() => tensor(bad as never), TypeError, inspect(bad));
  }
  assert.throws(() => tensor(new Float32Array(3), { shape: [2] }), ShapeError);
  assert.throws(() => tensor(new Float32Array(3), { shape: [-1] }), ShapeError);
  assert.throws(() => tensor(new Float32Array(3), { shape: [2 ** 40, 2 ** 40] }), ShapeError);
  assert.throws(() => tensor(new BigUint64Array(1) as never), TypeError);
});

test('item, tolist and their limits', () => {
  assert.equal(tensor([2.5]).item(), 2.5);
  assert.equal(tensor([true]).item(), true);
  assert.equal(tensor([7n]).item(), 7);
  assert.throws(() => tensor([2n ** 60n]).item(), { name: 'RangeError', message: /toTypedArray/ });
  assert.throws(() => ones([2]).item(), ShapeError);
});

test('backward accumulates, grad can be cleared, a second backward names the cure', () => {
  const x = tensor([1, 2, 3], { requiresGrad: true });
  const loss = x.mul(x).sum();
  loss.backward();
  assert.deepEqual(values(x.grad), [2, 4, 6]);
  assert.throws(
    () => loss.backward(),
    (error: unknown) => error instanceof TorchError && /resetNet/.test(error.message),
  );
  x.mul(3).sum().backward();
  assert.deepEqual(values(x.grad), [5, 7, 9]);
  x.grad = null;
  assert.equal(x.grad, null);
  x.mul(2).backward(tensor([1, 10, 100]));
  assert.deepEqual(values(x.grad), [2, 20, 200]);
  assert.throws(() => x.mul(2).backward(), TorchError);
});

test('backward with createGraph differentiates its own result', () => {
  const x = tensor([2], { requiresGrad: true });
  x.pow(3).sum().backward(null, { createGraph: true });
  const first = x.grad as Tensor;
  x.grad = null;
  first.sum().backward();
  assert.deepEqual(values(x.grad), [12]);
});

test('backwardAsync and the other async reads give the same numbers', async () => {
  const x = tensor([1, 2], { requiresGrad: true });
  await x.mul(x).sum().backwardAsync();
  assert.deepEqual(values(x.grad), [2, 4]);
  assert.equal(await x.sum().itemAsync(), 3);
  assert.deepEqual(await x.tolistAsync(), [1, 2]);
  assert.deepEqual(await x.toTypedArrayAsync(), new Float32Array([1, 2]));
  await assert.rejects(x.backwardAsync(), { code: 'ERR_SPIKENODE_TORCH' });
});

test('noGrad and enableGrad are synchronous and restore', () => {
  const x = ones([1], { requiresGrad: true });
  assert.equal(
    noGrad(() => x.mul(2).requiresGrad),
    false,
  );
  assert.equal(
    noGrad(() => enableGrad(() => x.mul(2).requiresGrad)),
    true,
  );
  assert.throws(() => noGrad(() => Promise.resolve(1)), TypeError);
  assert.throws(
    () =>
      noGrad(() => {
        throw new Error('mine');
      }),
    /mine/,
  );
  assert.ok(isGradEnabled());
  assert.equal(x.detach().requiresGrad, false);
});

test('conv2d forward and backward equal a plain loop', () => {
  const next = randomNumbers(7);
  const [N, C, H, W, O, K] = [2, 3, 6, 5, 4, 3];
  const random = (count: number): Float64Array => Float64Array.from({ length: count }, () => next() * 2 - 1);
  const [xs, ws, bs] = [random(N * C * H * W), random(O * C * K * K), random(O)];
  const [OH, OW] = [H - K + 1, W - K + 1];
  const gs = random(N * O * OH * OW);
  const [y, gx, gw, gb] = [
    new Float64Array(gs.length),
    new Float64Array(xs.length),
    new Float64Array(ws.length),
    new Float64Array(O),
  ];
  for (let n = 0; n < N; n++)
    for (let o = 0; o < O; o++)
      for (let i = 0; i < OH; i++)
        for (let j = 0; j < OW; j++) {
          const at = ((n * O + o) * OH + i) * OW + j;
          const g = gs[at] as number;
          let sum = bs[o] as number;
          gb[o] = (gb[o] as number) + g;
          for (let c = 0; c < C; c++)
            for (let a = 0; a < K; a++)
              for (let b = 0; b < K; b++) {
                const xi = ((n * C + c) * H + i + a) * W + j + b;
                const wi = ((o * C + c) * K + a) * K + b;
                sum += (xs[xi] as number) * (ws[wi] as number);
                gx[xi] = (gx[xi] as number) + g * (ws[wi] as number);
                gw[wi] = (gw[wi] as number) + g * (xs[xi] as number);
              }
          y[at] = sum;
        }
  const x = tensor(xs, { shape: [N, C, H, W], requiresGrad: true });
  const w = tensor(ws, { shape: [O, C, K, K], requiresGrad: true });
  const b = tensor(bs, { requiresGrad: true });
  const out = conv2d(x, w, b);
  out.backward(tensor(gs, { shape: [N, O, OH, OW] }));
  const flat = (t: Tensor | null): Float64Array => t?.toTypedArray() as Float64Array;
  assert.ok(largestDifference(flat(out), y) < 1e-12);
  assert.ok(largestDifference(flat(x.grad), gx) < 1e-12);
  assert.ok(largestDifference(flat(w.grad), gw) < 1e-12);
  assert.ok(largestDifference(flat(b.grad), gb) < 1e-12);
});

test('seeds and generators give the same numbers again', () => {
  manualSeed(5);
  const first = rand([4]).tolist();
  manualSeed(5);
  assert.deepEqual(rand([4]).tolist(), first);
  const generator = new Generator({ seed: 5 });
  assert.deepEqual(rand([4], { generator }).tolist(), first);
  const state = generator.getState();
  const second = rand([4], { generator }).tolist();
  generator.setState(state);
  assert.deepEqual(rand([4], { generator }).tolist(), second);
  assert.notDeepEqual(second, first);
  assert.throws(() => manualSeed(0.5), TypeError);
});

test('the state of the default generator goes on from where it was taken, by device', () => {
  const state = getRngState();
  const first = rand([4]).tolist();
  setRngState(state, 'cpu');
  assert.deepEqual(rand([4]).tolist(), first);
  synchronize('cpu');
  if (cudaIsAvailable()) return;
  const missing = (name: string): object => ({
    name: 'TorchError',
    message: new RegExp(`^${name}: no cuda device is present`),
  });
  assert.throws(() => getRngState('cuda'), missing('getRngState'));
  assert.throws(() => setRngState(state, 'cuda'), missing('setRngState'));
  assert.throws(() => synchronize(), missing('synchronize'));
  assert.throws(() => new Generator({ device: 'cuda' }), missing('Generator'));
  assert.throws(() => synchronize('gpu' as Device), {
    name: 'TypeError',
    message: "synchronize: argument 'device' must be 'cpu', 'cuda' or 'cuda:<index>', got 'gpu'",
  });
});

test('errors are typed, name operator and argument, and carry no backtrace', () => {
  assert.throws(() => add(ones([1]), 'a' as never), {
    name: 'TypeError',
    message: /^add: argument 'other' must be .*got/,
  });
  assert.throws(
    () => ones([2]).add(ones([3])),
    (error: unknown) => {
      assert.ok(error instanceof TorchError);
      assert.match(error.message, /^add: The size of tensor a/);
      assert.doesNotMatch(error.message, /Exception raised from|frame #/);
      return true;
    },
  );
  assert.throws(() => zeros([NaN]), TypeError);
  assert.throws(() => zeros([-1]), ShapeError);
  assert.throws(() => zeros([1], new Map() as never), TypeError);
  assert.throws(() => zeros([1], { dtype: 'float99' as never }), TypeError);
  assert.throws(() => zeros([1], { nonsense: 1 } as never), TypeError);
  assert.throws(() => {
    tensor([1n]).requiresGrad = true;
  }, DTypeError);
  assert.throws(() => new Tensor(5 as never), TypeError);
});

test('in-place operators return the same object', () => {
  const x = ones([2]);
  assert.equal(x.add_(1), x);
  assert.deepEqual(x.tolist(), [2, 2]);
});

test('to() converts, and gives the tensor itself when nothing changes', () => {
  const x = ones([2]);
  assert.equal(x.to('float32'), x);
  assert.equal(x.to('float64').dtype, 'float64');
  assert.equal(x.to({ device: 'cpu', dtype: 'int32' }).dtype, 'int32');
  assert.notEqual(x.to({ copy: true }), x);
  assert.throws(() => x.to('cuda'), Error);
});

test('util.inspect prints like PyTorch', () => {
  assert.equal(
    inspect(
      tensor([
        [1, 2],
        [3, 4.5],
      ]),
    ),
    'tensor([[1.0000, 2.0000],\n        [3.0000, 4.5000]])',
  );
  assert.match(String(ones([1], { requiresGrad: true }).mul(2)), /grad_fn=<MulBackward1>/);
});

test('thread counts are set and checked', () => {
  const before = getNumThreads();
  setNumThreads(1);
  assert.equal(getNumThreads(), 1);
  assert.throws(() => setNumThreads(0), ShapeError);
  setNumThreads(before);
});

test('unsafeOperator reaches operators outside the list', () => {
  const take = unsafeOperator('aten::_softmax');
  const result = take(zeros([2]), 0, false) as Tensor;
  assert.deepEqual(result.tolist(), [0.5, 0.5]);
  assert.throws(() => take(12345, 0, false), { message: /argument 'self' must be a Tensor/ });
  assert.throws(() => unsafeOperator('aten::nonsense'), TorchError);
});

test('a tensor of another worker is refused with a sentence', async () => {
  const library = new URL('../../lib/tensor/index.js', import.meta.url).href;
  const source = `import { parentPort, workerData } from 'node:worker_threads';
    import { addon } from '${new URL('../../lib/tensor/operator.js', import.meta.url).href}';
    await import('${library}');
    try { addon().shape(workerData); } catch (error) { parentPort.postMessage(error.name + ': ' + error.message); }`;
  const { handleOf } = await import('../../lib/tensor/tensor.js');
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData: handleOf(ones([1])),
  });
  const message = await new Promise((resolve) => worker.once('message', resolve));
  assert.match(String(message), /TypeError: the tensor belongs to another worker/);
});
