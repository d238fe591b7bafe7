import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import {
  add,
  collectGarbage,
  DisposedError,
  emptyCache,
  type KeepOwner,
  keep,
  memory,
  ones,
  resetPeakMemory,
  Scope,
  type Tensor,
  tidy,
  zeros,
} from './helpers.js';

test('10,000 steps in a scope leave tensors and bytes flat', () => {
  const weight = keep(ones([64, 64], { requiresGrad: true }));
  const step = (): void =>
    tidy(() => {
      weight.grad = null;
      weight.mul(2).relu().sum().backward();
    });
  step();
  const before = memory();
  for (let i = 0; i < 10_000; i++) step();
  const after = memory();
  assert.equal(after.tensors, before.tensors);
  assert.equal(after.bytes, before.bytes);
  weight.dispose();
});

test('tidy keeps what it returns, in arrays, objects, maps and iterables', () => {
  const before = memory().tensors;
  const result = tidy(() => {
    const gone = ones([2]);
    return {
      a: gone.add(1),
      list: [gone.add(2), new Map([['x', gone.add(3)]])],
      set: new Set([gone.add(4)]),
    };
  });
  assert.equal(memory().tensors, before + 4);
  assert.equal(result.a.sum().item(), 4);
  const map = result.list[1] as Map<string, Tensor>;
  assert.equal(map.get('x')?.sum().item(), 8);
});

test('tidy and Scope.run refuse promises and restore on a throw', () => {
  assert.throws(() => tidy(async () => ones([1])), { name: 'TypeError', message: /synchronous/ });
  const before = memory().tensors;
  assert.throws(
    () =>
      tidy(() => {
        ones([1]);
        throw new Error('mine');
      }),
    /mine/,
  );
  assert.equal(memory().tensors, before);
});

test('a disposed tensor is a DisposedError, and its slot never names another tensor', () => {
  const x = ones([1]);
  x.dispose();
  x.dispose();
  for (let i = 0; i < 100; i++) zeros([1]);
  assert.ok(x.disposed);
  assert.throws(
    () => x.add(1),
    (error: unknown) => error instanceof DisposedError && /keep\(tensor\)/.test(error.message),
  );
  assert.throws(() => add(ones([1]), x), { code: 'ERR_SPIKENODE_DISPOSED' });
});

test('a scope can be used over awaits without catching what others make', async () => {
  const scope = new Scope();
  const inside = scope.run(() => ones([3], { requiresGrad: true }).mul(2).sum());
  const outside = ones([2]);
  await inside.backwardAsync();
  scope.dispose();
  assert.ok(inside.disposed && !outside.disposed);
});

test('emptyCache gives cached bytes back', () => {
  tidy(() => void ones([1 << 20]));
  assert.ok(memory().cachedBytes >= 4 * 2 ** 20);
  emptyCache();
  // Small blocks stay while neighbours in their slab live.
  assert.ok(memory().cachedBytes < 2 ** 20);
});

test('memory tells the owners of tensors, and counts shared memory once', async () => {
  await collectGarbage();
  const bytes = 4096;
  const make = (): Tensor => ones([1024]);
  const before = memory().owners;
  const change = (owner: keyof typeof before): [number | undefined, number] => {
    const [now, then] = [memory().owners[owner], before[owner]];
    const tensors = 'tensors' in now && 'tensors' in then ? now.tensors - then.tensors : undefined;
    return [tensors, now.bytes - then.bytes];
  };
  const owners: KeepOwner[] = ['parameters', 'buffers', 'states', 'optimizer', 'data', 'kept'];
  const scope = new Scope();
  const [first, ...rest] = scope.run(() => owners.map((owner) => keep(make(), owner)));
  for (const owner of owners) assert.deepEqual(change(owner), [1, bytes], owner);
  assert.deepEqual(change('scopes'), [0, 0]);

  const inScope = scope.run(() => ({ own: make(), shared: first!.detach(), half: first!.narrow(0, 0, 512) }));
  assert.deepEqual(change('scopes'), [3, bytes]);
  assert.deepEqual(change('parameters'), [1, bytes]);
  const outside = make();
  assert.deepEqual(change('undisposed'), [1, bytes]);
  keep(outside);
  assert.deepEqual(
    [change('undisposed'), change('kept')],
    [
      [0, 0],
      [2, 2 * bytes],
    ],
  );
  keep(outside, 'buffers');
  assert.deepEqual(
    [change('buffers'), change('kept')],
    [
      [2, 2 * bytes],
      [1, bytes],
    ],
  );
  // What it was kept for stays.
  keep(outside);
  assert.deepEqual(change('buffers'), [2, 2 * bytes]);

  first!.requiresGrad = true;
  const total = scope.run(() => tidy(() => first!.mul(inScope.own).exp().sum()));
  // Only the graph has the result of exp; the product is nowhere, its second factor in the scope.
  assert.deepEqual(change('graphs'), [undefined, bytes]);
  assert.deepEqual(change('scopes'), [4, bytes + 64]);
  await total.backwardAsync();
  assert.deepEqual(
    [change('graphs'), change('gradients')],
    [
      [undefined, 0],
      [1, bytes],
    ],
  );
  first!.grad = null;
  assert.deepEqual(change('gradients'), [0, 0]);
  scope.dispose();
  for (const own of [first!, ...rest, outside]) own.dispose();
  for (const owner of [...owners, 'scopes', 'undisposed', 'graphs'] as const)
    assert.equal(change(owner)[1], 0);
});

test('bytes of all owners are the bytes in memory', () => {
  const a = keep(ones([100, 100], { requiresGrad: true }));
  tidy(() => {
    a.mul(2).exp().sum().backward();
    const { owners, bytes } = memory();
    const sum = Object.values(owners).reduce((all, own) => all + own.bytes, 0);
    assert.equal(sum, bytes);
  });
  a.dispose();
});

test('allocations are counted, views are none', () => {
  const x = keep(ones([64, 64]));
  const count = (fn: () => void): [number, number] => {
    const before = memory();
    tidy(fn);
    const after = memory();
    return [after.allocations - before.allocations, after.allocatedBytes - before.allocatedBytes];
  };
  assert.deepEqual(
    count(() => void x.add(x)),
    [1, 16384],
  );
  assert.deepEqual(
    count(() => void x.t().narrow(0, 3, 5).unsqueeze(0).detach()),
    [0, 0],
  );
  assert.deepEqual(
    count(() => void x.clone()),
    [1, 16384],
  );
  assert.deepEqual(
    count(() => void x.contiguous()),
    [0, 0],
  );
  // Rounded up: 65 floats are 260 bytes.
  assert.deepEqual(
    count(() => void zeros([65])),
    [1, 320],
  );
  x.dispose();
});

test('the peak is the largest sum of live bytes, and begins anew', () => {
  resetPeakMemory();
  const start = memory();
  assert.equal(start.peakBytes, start.bytes);
  const mebibytes = (n: number): Tensor => zeros([n << 18]);
  tidy(() => {
    mebibytes(4).dispose();
    mebibytes(4).dispose();
    mebibytes(2);
    mebibytes(3);
  });
  assert.equal(memory().peakBytes - start.bytes, 5 << 20);
  resetPeakMemory();
  assert.equal(memory().peakBytes, memory().bytes);
});

test('without a tensor on a GPU there are no figures of devices', () => {
  assert.equal(inProcess('t.ones([1]); console.log(JSON.stringify(t.memory().devices));').stdout, '[]\n');
});

test('without the allocator of our own there are no figures', () => {
  const { stdout } = inProcess(
    `const x = t.ones([1000]); const { bytes, peakBytes, allocations, owners } = t.memory();
     t.resetPeakMemory();
     console.log(bytes, peakBytes, allocations, owners.graphs.bytes, owners.undisposed.bytes);`,
    { SPIKENODE_ALLOCATOR: 'system' },
  );
  assert.equal(stdout, '0 0 0 0 4000\n');
});

const library = new URL('../../lib/tensor/index.js', import.meta.url).href;

function inProcess(
  body: string,
  env: Record<string, string> = {},
): { stdout: string; stderr: string; status: number | null } {
  const result = spawnSync(
    process.execPath,
    ['--input-type=module', '-e', `const t = await import('${library}');\n${body}`],
    {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    },
  );
  return { stdout: result.stdout, stderr: result.stderr, status: result.status };
}

test("a user's asynchronous loop that takes real turns stays bounded without a dispose", () => {
  // Working set of a step: 3 tensors of 16 MB.
  const { stdout, stderr } = inProcess(`
    for (let i = 0; i < 300; i++) {
      const x = t.ones([4 << 20]);
      x.mul(2).add(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
    console.log(t.memory().peakBytes);`);
  assert.ok(Number(stdout) > 0 && Number(stdout) < 4 * 48e6 + 512 * 2 ** 20, `${stdout} ${stderr}`);
  assert.equal(stderr, '');
});

test('a synchronous loop without a scope gets one warning that names the cure', () => {
  const { stderr } = inProcess(`for (let i = 0; i < 400; i++) t.ones([1 << 20]);`);
  assert.equal(stderr.match(/SPIKENODE_UNDISPOSED/g)?.length, 1, stderr);
  assert.match(stderr, /tidy\(/);
  const microtasks = inProcess(`for (let i = 0; i < 400; i++) { t.ones([1 << 20]); await null; }`);
  assert.equal(microtasks.stderr.match(/SPIKENODE_UNDISPOSED/g)?.length, 1, microtasks.stderr);
});

test('memory beyond the limit is an OutOfMemoryError with the figures', () => {
  const { stdout, status } = inProcess(
    `try { t.ones([1 << 26]); console.log('no error'); } catch (e) { console.log(e.name, e.code, e.message); }
     console.log(t.ones([10]).sum().item());`,
    { SPIKENODE_MEMORY_LIMIT: '100M' },
  );
  assert.equal(status, 0);
  assert.match(stdout, /^OutOfMemoryError ERR_SPIKENODE_OUT_OF_MEMORY .*268435456/);
  assert.match(stdout, /10\n$/);
});
