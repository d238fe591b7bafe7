import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import {
  add,
  DisposedError,
  emptyCache,
  keep,
  memory,
  ones,
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
