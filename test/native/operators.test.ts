import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../lib/native/libtorch.js';
import { addon } from '../../lib/tensor/operator.js';
import {
  DTypeError,
  integrateFire,
  lif,
  manualSeed,
  noGrad,
  ones,
  rand,
  randn,
  ShapeError,
  type Tensor,
  tensor,
  unsafeOperator,
  zeros,
} from '../tensor/helpers.js';

// What must hold for every operator of libspikenode, whatever the neuron: autograd, aliasing, layouts, bits.

const atan = { surrogate: 'ATan' };
const flat = (x: Tensor | null): Float64Array => {
  assert.ok(x !== null);
  return x.toTypedArray() as Float64Array;
};

/** Smooth networks agree with central differences to about 1e-9 in float64. */
function gradcheck(loss: (x: Tensor, v: Tensor) => Tensor, x: Tensor, v: Tensor): number {
  x.grad = null;
  v.grad = null;
  loss(x, v).backward();
  let worst = 0;
  for (const input of [x, v]) {
    const values = flat(input);
    const gradient = flat(input.grad);
    values.forEach((value, i) => {
      const at = (moved: number): number => {
        const copy = values.slice();
        copy[i] = moved;
        const changed = tensor(copy, { shape: input.shape });
        return noGrad(() => loss(input === x ? changed : x, input === v ? changed : v).item() as number);
      };
      const numeric = (at(value + 1e-6) - at(value - 1e-6)) / 2e-6;
      worst = Math.max(worst, Math.abs(numeric - (gradient[i] as number)));
    });
  }
  return worst;
}

for (const surrogate of ['Sigmoid', 'ATan', 'PiecewiseQuadratic']) {
  for (const vReset of [0.1, null]) {
    test(`gradcheck in the smooth mode: ${surrogate}, reset ${vReset}`, () => {
      manualSeed(3);
      const x = rand([4, 5], { dtype: 'float64', requiresGrad: true });
      const v = rand([5], { dtype: 'float64', requiresGrad: true });
      const weights = randn([4, 5], { dtype: 'float64' });
      const options = { surrogate, vReset, spiking: false, storeVSeq: true };
      const loss = (s: readonly (Tensor | null)[]): Tensor =>
        (s[0] as Tensor)
          .mul(weights)
          .sum()
          .add((s[1] as Tensor).sum())
          .add((s[2] as Tensor).square().sum());
      assert.ok(gradcheck((a, b) => loss(lif(a, b, { tau: 1.6, ...options })), x, v) < 1e-7);
      assert.ok(gradcheck((a, b) => loss(lif(a, b, { decayInput: false, ...options })), x, v) < 1e-7);
      assert.ok(gradcheck((a, b) => loss(integrateFire(a, b, options)), x, v) < 1e-7);
    });
  }
}

test('a graph that is kept gives the same gradients again; two losses over one graph add up', () => {
  manualSeed(1);
  const x = rand([6, 40], { requiresGrad: true });
  const s = lif(x.mul(2), zeros([40]), atan)[0];
  const loss = s.mul(rand([6, 40])).sum();
  loss.backward(null, { retainGraph: true });
  const once = flat(x.grad);
  x.grad = null;
  loss.backward(null, { retainGraph: true });
  assert.deepEqual(flat(x.grad), once);
  s.sum().backward();
  const both = flat(x.grad);
  x.grad = null;
  const again = lif(x.mul(2), zeros([40]), atan)[0];
  again.sum().backward();
  const other = flat(x.grad);
  both.forEach((value, i) => {
    assert.ok(Math.abs(value - ((once[i] as number) + (other[i] as number))) < 1e-6);
  });
});

test('a backward with createGraph succeeds, differentiating its result is an error', () => {
  const x = rand([3, 4], { requiresGrad: true });
  const s = lif(x, zeros([4]), atan)[0];
  s.sum().backward(null, { createGraph: true });
  const gradient = x.grad as Tensor;
  assert.throws(() => gradient.square().sum().backward(), /second derivatives|not implemented/);
  x.grad = null;
});

test('membrane sequence returned and used, results alias nothing', () => {
  const x = rand([5, 8], { dtype: 'float64', requiresGrad: true });
  const v = rand([8], { dtype: 'float64' });
  const [s, vOut, vSeq] = lif(x, v, { ...atan, storeVSeq: true });
  const before = flat(vSeq as Tensor).slice();
  (vSeq as Tensor).sum().add(s.sum()).backward();
  assert.deepEqual(flat(vSeq as Tensor), before);
  assert.deepEqual(flat(vOut), before.slice(32));
  assert.equal(lif(x, v, atan)[2], null);
});

test('expanded inputs and gradients, channels-last and strided layouts give the numbers of contiguous ones', () => {
  manualSeed(4);
  const base = rand([3, 2, 4, 4], { dtype: 'float64' });
  const still = base.unsqueeze(0).expand([5, 3, 2, 4, 4]);
  const run = (x: Tensor): Float64Array[] => {
    const input = x.detach();
    input.requiresGrad = true;
    const s = lif(input.mul(1), zeros([3, 2, 4, 4], { dtype: 'float64' }), atan)[0];
    s.sum().backward();
    return [flat(s), flat(input.grad)];
  };
  assert.deepEqual(run(still), run(still.contiguous()));
  const direct = lif(still, zeros([3, 2, 4, 4], { dtype: 'float64' }), atan)[0];
  assert.deepEqual(flat(direct), run(still.contiguous())[0]);
  const sequence = rand([5, 3, 2, 4, 4], { dtype: 'float64' });
  const last = sequence.permute([0, 1, 3, 4, 2]).contiguous().permute([0, 1, 4, 2, 3]);
  const out = lif(last, zeros([3, 2, 4, 4], { dtype: 'float64' }), atan)[0];
  assert.deepEqual(out.strides.slice(1), last.strides.slice(1));
  assert.deepEqual(flat(out), flat(lif(sequence, zeros([3, 2, 4, 4], { dtype: 'float64' }), atan)[0]));
  assert.deepEqual(run(last), run(sequence));
});

test('empty sequences, no neurons, and one dimension', () => {
  const [s, v] = lif(zeros([0, 3]), tensor([1, 2, 3]), atan);
  assert.deepEqual(
    [s.shape, v.tolist()],
    [
      [0, 3],
      [1, 2, 3],
    ],
  );
  assert.deepEqual(lif(zeros([4, 0]), zeros([0]), atan)[0].shape, [4, 0]);
  assert.deepEqual(lif(ones([4]).mul(3), zeros([]), atan)[0].tolist(), [1, 1, 1, 1]);
});

test('NaN does not fire and stays; equality and -0 fire', () => {
  const [s, v] = integrateFire(tensor([[Number.NaN, 1, 0.5]]), tensor([0, 0, 0.5]));
  assert.deepEqual(s.tolist(), [[0, 1, 1]]);
  assert.ok(Number.isNaN((v.tolist() as number[])[0]));
  assert.deepEqual(integrateFire(tensor([[-0]]), tensor([0]), { vThreshold: 0 })[0].tolist(), [[1]]);
});

test('wrong arguments are typed and name themselves', () => {
  assert.throws(
    () => lif(tensor([[1n]]), zeros([1])),
    (e: unknown) => e instanceof DTypeError && /\.to\(dtype\)/.test(e.message),
  );
  assert.throws(
    () => lif(zeros([2, 3]), zeros([2])),
    (e: unknown) => e instanceof ShapeError && /'v'/.test(e.message),
  );
  assert.throws(() => lif(zeros([]), zeros([])), ShapeError);
  assert.throws(() => lif(zeros([1, 1]), zeros([1]), { tau: 1 }), /'tau'/);
  assert.throws(
    () => lif(zeros([1, 1]), zeros([1]), { surrogate: 'Nope' }),
    /'surrogate' must be one of Sigmoid/,
  );
  assert.throws(() => lif(zeros([1, 1]), zeros([1]), { vThreshold: Number.NaN }), /'v_threshold'/);
});

test('every operator of ours has an Autograd registration', () => {
  const names = addon()
    .schemas()
    .filter((schema) => schema.name.startsWith('spikenode::') && !schema.name.endsWith('_isa'));
  assert.ok(names.length >= 8);
  // A missing one would pass gradients through with no more than a warning.
  assert.deepEqual(
    names.filter((schema) => !schema.autograd).map((schema) => schema.name),
    [],
  );
  const x = rand([2, 3], { requiresGrad: true });
  const train = unsafeOperator('spikenode::_lif_train');
  const trained = train(x, zeros([3])) as Tensor[];
  assert.throws(() => (trained[0] as Tensor).sum().backward(), /not implemented/);
});

const probe = `
  import { createHash } from 'node:crypto';
  const t = await import('${new URL('../../lib/tensor/index.js', import.meta.url).href}');
  const hash = createHash('sha256');
  for (const surrogate of SURROGATES)
    for (const dtype of ['float32', 'float64'])
      for (const size of [[7, 1003], [16, 65536]])
        for (const options of [{}, { vReset: null }, { detachReset: true, tau: 1.7 }, { decayInput: false, tau: 3 }]) {
          t.manualSeed(9);
          const x = t.randn(size, { dtype, requiresGrad: true });
          const v = t.randn([size[1]], { dtype, requiresGrad: true });
          const [s, last] = t.lif(x, v, { surrogate, ...options });
          s.mul(t.randn(size, { dtype })).sum().add(last.sum()).backward();
          for (const y of [s, last, x.grad, v.grad]) hash.update(new Uint8Array(y.toTypedArray().buffer));
        }
  console.log(t.unsafeOperator('spikenode::_isa')(), hash.digest('hex'));`;

test('the same bits on every instruction set and thread count', () => {
  const results = new Map<string, string>();
  for (const isa of ['baseline', 'avx2', 'avx512']) {
    for (const threads of ['1', '2', '3']) {
      const source = probe.replace('SURROGATES', "['ATan', 'PiecewiseQuadratic', 'Sigmoid']");
      const run = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
        encoding: 'utf8',
        env: { ...process.env, SPIKENODE_ISA: isa, SPIKENODE_NUM_THREADS: threads },
      });
      if (/does not have it/.test(run.stderr)) continue;
      const [used, digest] = run.stdout.trim().split(' ');
      assert.equal(used, isa, run.stderr);
      results.set(`${isa}, ${threads} threads`, digest ?? '');
    }
  }
  assert.ok(results.size >= 3);
  assert.equal(new Set(results.values()).size, 1, JSON.stringify([...results], null, 1));
});

test('no inline function is shared between the instruction sets', () => {
  const folder = join(packageRoot(), 'build', 'CMakeFiles');
  const weak = new Map<string, Set<string>>();
  for (const isa of ['baseline', 'avx2', 'avx512']) {
    for (const file of ['integrate_fire', 'lif']) {
      const object = join(folder, `kernels_${isa}.dir`, 'native', 'cpu', `${file}.cc.o`);
      const run = spawnSync('nm', ['--defined-only', object], { encoding: 'utf8' });
      assert.equal(run.status, 0, run.stderr);
      for (const line of run.stdout.split('\n')) {
        const [, kind, name] = line.split(' ');
        if (name === undefined || !/[WV]/.test(kind ?? '')) continue;
        weak.set(name, (weak.get(name) ?? new Set()).add(isa));
      }
    }
  }
  assert.ok(weak.size > 0);
  assert.deepEqual(
    [...weak].filter(([, isas]) => isas.size > 1),
    [],
  );
});
