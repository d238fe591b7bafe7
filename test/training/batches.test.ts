import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { Dataset } from '../../lib/data/index.js';
import { Loader } from '../../lib/data/loader.js';
import { DisposedError, DTypeError, ShapeError } from '../../lib/errors.js';
import { arange, memory, Scope, type Tensor } from '../../lib/tensor/index.js';
import { addon } from '../../lib/tensor/operator.js';
import { fromHandle, handleOf } from '../../lib/tensor/tensor.js';
import { type Batch, batches, checkDataset, epochOrder, tensorsOf } from '../../lib/training/batches.js';
import { evaluate, fit, predict } from '../../lib/training/index.js';
import { collectGarbage, randomNumbers } from '../tensor/helpers.js';
import { network, samples } from './helpers.js';

const placement = { dtype: 'float32', device: 'cpu' } as const;

function bytes(length: number, scale: number = 255): Dataset {
  const random = randomNumbers(length);
  const x = Uint8Array.from({ length: length * 4 }, () => Math.floor(random() * 256));
  return { x, scale, y: Int32Array.from({ length }, (_, i) => i % 3), shape: [4, 1], classes: 3, length };
}

// The values of a data set as JavaScript scales them.
function floats({ x, scale, ...rest }: Dataset): Dataset {
  return { ...rest, x: Float32Array.from(x, (value) => value / (scale ?? 1)) };
}

interface Seen {
  readonly shape: readonly number[];
  readonly x: Float32Array;
  readonly y: readonly number[];
}

async function collect(loop: AsyncIterable<Batch>): Promise<Seen[]> {
  const seen: Seen[] = [];
  for await (const batch of loop) {
    using scope = new Scope();
    scope.run(() => {
      const { x, y } = tensorsOf(batch, placement);
      assert.deepEqual([x.dtype, y.dtype], ['float32', 'int64']);
      assert.deepEqual([...(y.toTypedArray() as BigInt64Array)].map(Number), [...batch.y]);
      assert.equal(batch.size, batch.y.length);
      assert.ok(batch.waited >= 0);
      seen.push({ shape: x.shape, x: x.toTypedArray() as Float32Array, y: [...batch.y] });
    });
  }
  return seen;
}

// The same on the JavaScript thread.
function expected(data: Dataset, size: number, order: ArrayLike<number>, dropLast: boolean): Seen[] {
  const all = Array.from(order);
  const seen: Seen[] = [];
  for (let start = 0; start < all.length; start += size) {
    const own = all.slice(start, start + size);
    if (dropLast && own.length < size) break;
    const x = Float32Array.from(own.flatMap((i) => [...floats(data).x.subarray(4 * i, 4 * i + 4)]));
    seen.push({ shape: [own.length, 4, 1], x, y: own.map((i) => data.y[i]!) });
  }
  return seen;
}

test('batches have the values of the samples to the bit, in the order asked for', async () => {
  // 0.1 and 3 are no powers of two: their quotients round.
  for (const data of [samples(23), bytes(23), bytes(23, 0.1), bytes(23, 3)]) {
    const stored = Int32Array.from({ length: 23 }, (_, i) => i);
    for (const order of [undefined, epochOrder(23, 5, 1)]) {
      for (const dropLast of [false, true]) {
        const seen = await collect(batches(data, 5, order, dropLast));
        assert.deepEqual(seen, expected(data, 5, order ?? stored, dropLast));
      }
    }
  }
});

test('one loader serves many loops, at the same time too', async () => {
  const data = bytes(40);
  using loader = new Loader(data);
  const orders = [1, 2, 3].map((epoch) => epochOrder(40, 0, epoch));
  const seen = await Promise.all(orders.map((order) => collect(batches(loader, 7, order))));
  for (const [i, order] of orders.entries()) assert.deepEqual(seen[i], expected(data, 7, order, false));
});

test('two groups of batches are gathered ahead, not more', async () => {
  // Three batches of 320 KiB are a group.
  const data = samples(4096, 1, [640, 1]);
  const own = 128 * 640 * 4;
  using loader = new Loader(data);
  await collectGarbage();
  const before = memory().bytes;
  let most = 0;
  let count = 0;
  for await (const batch of batches(loader, 128)) {
    using scope = new Scope();
    scope.run(() => batch.inputs.take());
    // What is under way is finished.
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
    most = Math.max(most, memory().bytes - before);
    count += 1;
  }
  assert.equal(count, 32);
  // While the last of a group is worked on, the group and two more are there.
  assert.equal(most, 3 * 3 * own);
  assert.equal(memory().bytes, before);
});

test('a batch that is not taken, a break and a throw leave nothing behind', async () => {
  const data = samples(64);
  await collectGarbage();
  const before = memory();
  for await (const batch of batches(data, 4)) assert.equal(batch.size, 4);
  for await (const batch of batches(data, 4)) if (batch.y.length > 0) break;
  await assert.rejects(async () => {
    for await (const batch of batches(data, 4)) throw new Error(`mine ${batch.size}`);
  }, /mine 4/);
  const after = memory();
  assert.deepEqual([after.tensors, after.bytes], [before.tensors, before.bytes]);
});

test('a batch gives its inputs once', async () => {
  for await (const batch of batches(samples(3), 3)) {
    using scope = new Scope();
    scope.run(() => {
      tensorsOf(batch, placement);
      assert.throws(() => tensorsOf(batch, placement), /inputs of a batch can be taken once/);
    });
  }
});

test('numbers that are no samples, and a loader that is gone, are typed errors at their batch', async () => {
  for (const [wrong, text] of [
    [8, /samples' must have numbers from 0 to 7, got 8/],
    [-1, /got -1/],
  ] as const) {
    let count = 0;
    const order = Int32Array.of(0, 1, 2, 3, 4, 5, 6, wrong);
    await assert.rejects(
      async () => {
        for await (const batch of batches(samples(8), 2, order)) count += batch.size;
      },
      (error: unknown) => error instanceof ShapeError && text.test(error.message),
    );
    assert.equal(count, 6);
  }
  const loader = new Loader(samples(8));
  loader.dispose();
  await assert.rejects(
    async () => {
      for await (const batch of batches(loader, 2)) assert.fail(String(batch));
    },
    (error: unknown) => error instanceof DisposedError,
  );
});

test('the addon takes numbers as Int32Array and BigInt64Array only, and dense float32 and bytes', async () => {
  using scope = new Scope();
  const [source, whole] = scope.run(
    () => [arange(6).reshape([3, 2]), arange(6, { dtype: 'int64' })] as const,
  );
  const gather = (from: Tensor, numbers: unknown): Promise<number> =>
    addon().gather(handleOf(from), numbers as Int32Array, 1);
  const handle = await gather(source, BigInt64Array.of(2n, 0n));
  assert.deepEqual(scope.run(() => fromHandle(handle)).tolist(), [
    [4, 5],
    [0, 1],
  ]);
  assert.throws(() => gather(source, BigInt64Array.of(3n)), /numbers from 0 to 2, got 3/);
  for (const wrong of [[0], null, new Float64Array(1)])
    assert.throws(() => gather(source, wrong), /'samples' must be an Int32Array or a BigInt64Array/);
  assert.throws(() => gather(whole, Int32Array.of(0)), /'source' must be float32 or uint8/);
  const across = scope.run(() => source.t());
  assert.throws(() => gather(across, Int32Array.of(0)), /'source' must be dense/);
});

test('values of another kind, and a scale where it does not belong, are DTypeErrors', async () => {
  const data = samples(4);
  const wrong = (own: object, text: RegExp): void =>
    assert.throws(
      () => checkDataset({ ...data, ...own } as Dataset, 'data'),
      (error: unknown) => error instanceof DTypeError && text.test(error.message),
    );
  wrong(
    { x: new Float64Array(16) },
    /^data: expected x as a Float32Array or a Uint8Array, got an instance of Float64Array/,
  );
  wrong({ x: [0] }, /got a list/);
  wrong({ x: null }, /got null/);
  wrong({ x: new Uint8Array(16) }, /expected a scale > 0 by which the bytes of x are divided, got none/);
  wrong({ x: new Uint8Array(16), scale: 0 }, /got 0/);
  wrong({ x: new Uint8Array(16), scale: Number.NaN }, /got NaN/);
  wrong({ scale: 255 }, /expected a scale for bytes only, got 255/);
  checkDataset({ ...data, x: new Uint8Array(16), scale: 255 }, 'data');
  await assert.rejects(predict(network(), new Uint8Array(4), [4, 1]), /expected a scale > 0/);
});

test('training and evaluation from bytes are those from the scaled numbers, bit for bit', async () => {
  const data = bytes(50);
  const optimizer = { kind: 'Adam', params: { lr: 0.01 } };
  const results = [];
  for (const own of [data, floats(data)]) {
    const model = network();
    const waits: number[] = [];
    const { epochs } = await fit(model, own, {
      epochs: 2,
      batchSize: 16,
      seed: 1,
      optimizer,
      validation: own,
      onStep: ({ dataWait }) => void waits.push(dataWait),
    });
    assert.ok(waits.length === 8 && waits.every((seconds) => seconds >= 0 && seconds < 60));
    const scale = own.scale === undefined ? {} : { scale: own.scale };
    const outputs = await predict(model, own.x, own.shape, scale);
    results.push({ epochs, outputs, metrics: await evaluate(model, own) });
  }
  assert.deepEqual(results[0], results[1]);
});

test('a worker and a process may end while batches are gathered', () => {
  const library = new URL('../../lib/', import.meta.url).href;
  const body = `
    const { Loader } = await import('${library}data/loader.js');
    const length = 20000;
    const x = new Uint8Array(length * 784);
    const loader = new Loader({ x, scale: 255, y: new Int32Array(length), shape: [784], classes: 1, length });
    const all = Int32Array.from({ length }, (_, i) => i);
    const batches = loader.load(new Array(10).fill(all));
    const first = batches.next();`;
  const worker = `new Worker(new URL('data:text/javascript,' + encodeURIComponent(\`
    import { parentPort } from 'node:worker_threads'; ${body} parentPort.postMessage('running'); await first;\`)))`;
  for (const [script, code] of [
    [`${body} setTimeout(() => process.exit(3), 5);`, 3],
    [
      `const worker = ${worker};
       await new Promise((resolve) => worker.once('message', resolve));
       await worker.terminate();
       ${body} console.log((await first).value.take().shape.join());`,
      0,
    ],
  ] as const) {
    const source = `import { Worker } from 'node:worker_threads';\n${script}`;
    const result = spawnSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' });
    assert.deepEqual([result.signal, result.status], [null, code], result.stderr);
    if (code === 0) assert.equal(result.stdout, '20000,784\n');
  }
});
