import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../lib/native/platform.js';
import { addon } from '../../lib/tensor/operator.js';
import {
  type DType,
  DTypeError,
  full,
  getNumThreads,
  integrateFire,
  lif,
  manualSeed,
  memory,
  noGrad,
  ones,
  parametricLif,
  rand,
  randn,
  ShapeError,
  setNumThreads,
  type Tensor,
  tensor,
  unsafeOperator,
  where,
  zeros,
} from '../tensor/helpers.js';

// What must hold for every operator of libspikenode, whatever the neuron: autograd, aliasing, layouts, bits.

const atan = { surrogate: 'ATan' };
const flat = (x: Tensor | null): Float64Array => {
  assert.ok(x !== null);
  return x.toTypedArray() as Float64Array;
};

/** The worst difference to central differences; smooth networks come to about 1e-9 in float64. */
function gradcheck(loss: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): number {
  for (const input of inputs) input.grad = null;
  loss(...inputs).backward();
  let worst = 0;
  for (const input of inputs) {
    const values = flat(input);
    const gradient = flat(input.grad);
    values.forEach((value, i) => {
      const at = (moved: number): number => {
        const copy = values.slice();
        copy[i] = moved;
        const changed = tensor(copy, { shape: input.shape });
        return noGrad(() => loss(...inputs.map((one) => (one === input ? changed : one))).item() as number);
      };
      const numeric = (at(value + 1e-6) - at(value - 1e-6)) / 2e-6;
      const exact = gradient[i] as number;
      worst = Math.max(worst, Math.abs(numeric - exact) / Math.max(1, Math.abs(exact)));
    });
    assert.ok(gradient.some((one) => one !== 0));
  }
  return worst;
}

// S2NN's primitive is off by its shift of 1e-5; without slopes that fade, DeterministicPass has large values, which the
// differences lose digits of.
const smoothSurrogates = [
  'Sigmoid',
  'ATan',
  'PiecewiseQuadratic',
  'PiecewiseExp',
  'SoftSign',
  'Erf',
  'NonzeroSignLogAbs',
  'PiecewiseLeakyReLU',
  'SquarewaveFourierSeries',
  'S2NN',
  'QPseudoSpike',
  'LeakyKReLU',
  'LogTailedReLU',
  'Rect',
  'DeterministicPass',
];
for (const surrogate of smoothSurrogates) {
  for (const vReset of [0.1, null]) {
    test(`gradcheck in the smooth mode, parameters included: ${surrogate}, reset ${vReset}`, () => {
      manualSeed(3);
      const float64 = { dtype: 'float64', requiresGrad: true } as const;
      const [x, v] = [rand([4, 2, 5], { dtype: 'float64' }).mul(2.5).detach(), rand([2, 5], float64)];
      x.requiresGrad = true;
      const weights = randn([4, 2, 5], { dtype: 'float64' });
      const tau = rand([5], { dtype: 'float64' }).add(1.5).detach();
      const w = randn([2, 1], float64);
      const threshold = rand([], { dtype: 'float64' }).add(0.5).detach();
      tau.requiresGrad = true;
      threshold.requiresGrad = true;
      const options = { surrogate, vReset, spiking: false, storeVSeq: true };
      const loss = (s: readonly (Tensor | null)[]): Tensor =>
        (s[0] as Tensor)
          .mul(weights)
          .sum()
          .add((s[1] as Tensor).sum())
          .add((s[2] as Tensor).square().sum());
      const limit = surrogate === 'S2NN' ? 1e-3 : surrogate === 'DeterministicPass' ? 1e-5 : 1e-7;
      for (const decayInput of [true, false]) {
        const own = { ...options, decayInput };
        const checks = [
          gradcheck((a, b) => loss(lif(a as Tensor, b as Tensor, { tau: 1.6, ...own })), [x, v]),
          gradcheck(
            (a, b, tauTensor, vThresholdTensor) =>
              loss(
                lif(a as Tensor, b as Tensor, {
                  ...own,
                  tauTensor: tauTensor as Tensor,
                  vThresholdTensor: vThresholdTensor as Tensor,
                }),
              ),
            [x, v, tau, threshold],
          ),
          gradcheck(
            (a, b, weight, vThresholdTensor) =>
              loss(
                parametricLif(a as Tensor, b as Tensor, {
                  ...own,
                  w: weight as Tensor,
                  vThresholdTensor: vThresholdTensor as Tensor,
                }),
              ),
            [x, v, w, threshold],
          ),
        ];
        assert.ok(Math.max(...checks) < limit, `${checks}`);
      }
      assert.ok(gradcheck((a, b) => loss(integrateFire(a as Tensor, b as Tensor, options)), [x, v]) < limit);
    });
  }
}

test('every 16-bit number is read as libtorch reads it and written as libtorch rounds', () => {
  for (const dtype of ['bfloat16', 'float16'] as const) {
    const bits = Int16Array.from({ length: 65536 }, (_, i) => (i << 16) >> 16);
    const x = tensor(bits, { shape: [1, 65536] }).view(dtype);
    // Nothing fires and nothing leaks: the membrane is the input.
    const membrane = integrateFire(x, zeros([65536]), { vThreshold: 3e38, vReset: null })[1];
    const wanted = x.to('float32').reshape([65536]);
    const same = (a: Tensor, b: Tensor): boolean =>
      a.eq(b).logicalOr(a.isnan().logicalAnd(b.isnan())).all().item() as boolean;
    // An infinity fires all the same.
    const finite = wanted.abs().lt(3e38).logicalOr(wanted.isnan());
    assert.ok(same(where(finite, membrane, 0), where(finite, wanted, 0)));
    // The gradient of x is that of the membrane times 1/tau, rounded to the dtype.
    const tau = 1.7;
    const input = x.clone();
    input.requiresGrad = true;
    const v = lif(input, zeros([65536]), {
      tau,
      vThreshold: 3e38,
      vReset: null,
      detachReset: true,
      surrogate: 'Rect',
    })[1];
    const arriving = wanted.nanToNum(1, 1, 1);
    v.mul(arriving).sum().backward();
    const rounded = arriving.mul(tensor([1]).div(tau)).to(dtype);
    assert.ok(same((input.grad as Tensor).reshape([65536]), rounded), dtype);
  }
});

test('parameters as tensors: what does not fit is typed and names itself', () => {
  const [x, v] = [zeros([2, 3]), zeros([3])];
  const failing: readonly [() => unknown, RegExp][] = [
    [
      () => lif(x, v, { tauTensor: ones([2]) }),
      /lif: argument 'tau' must broadcast to the shape of one step, \[3\], got \[2\]/,
    ],
    [() => parametricLif(x, v, { w: ones([2, 3]) }), /'w' must broadcast/],
    [
      () => integrateFire(x, v, { vThresholdTensor: ones([3], { dtype: 'float64' }) }),
      /'v_threshold' must be of dtype float32, got float64/,
    ],
    [
      () => lif(x, v, { surrogate: 'SuperSpike', spiking: false }),
      /'spiking' must be true: SuperSpike has no primitive/,
    ],
    [
      () => lif(x, v, { surrogate: 'QPseudoSpike', surrogateParams: [1] }),
      /QPseudoSpike\.alpha\) must be a finite number above 1, got 1/,
    ],
    [() => lif(x.to('float16'), v.to('float16')), /'v' must be of dtype float32, got float16/],
  ];
  for (const [call, message] of failing) assert.throws(call, message);
});

test('the gradient of a parameter has the same bits on every number of threads, and is the sum', () => {
  manualSeed(8);
  const x = randn([3, 4, 6, 50, 70]);
  const start = zeros([4, 6, 50, 70]);
  const threads = getNumThreads();
  for (const shape of [[], [6, 1, 1], [50, 70], [4, 1, 50, 1], [4, 6, 50, 70]]) {
    const run = (dtype: DType): Tensor => {
      const threshold = full(shape, 0.9, { dtype, requiresGrad: true });
      lif(x.to(dtype), start.to(dtype), { vThresholdTensor: threshold, ...atan })[0]
        .sum()
        .backward();
      return threshold.grad as Tensor;
    };
    const found: string[] = [];
    for (const count of [1, 2, 3]) {
      setNumThreads(count);
      found.push(`${run('float32').toTypedArray()}`);
    }
    setNumThreads(threads);
    assert.equal(new Set(found).size, 1);
    const all = full([4, 6, 50, 70], 0.9, { dtype: 'float64', requiresGrad: true });
    lif(x.to('float64'), start.to('float64'), { vThresholdTensor: all, ...atan })[0]
      .sum()
      .backward();
    const dims = [0, 1, 2, 3].filter((dim) => shape[dim - 4 + shape.length] !== [4, 6, 50, 70][dim]);
    const grad = all.grad as Tensor;
    const reduced = dims.length === 0 ? grad : grad.sum(dims).reshape(shape);
    assert.ok((run('float64').sub(reduced).abs().max().item() as number) < 1e-9);
  }
});

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

test('dense layouts and expanded tensors are read and written without copies', () => {
  manualSeed(6);
  const steps = 6;
  const shape = [4, 8, 32, 64];
  const x = rand([steps, ...shape]);
  const channelsLast = (y: Tensor): Tensor =>
    y.permute([0, 1, 3, 4, 2]).contiguous().permute([0, 1, 4, 2, 3]);
  const turned = (y: Tensor): Tensor => y.permute([0, 4, 3, 2, 1]).contiguous().permute([0, 4, 3, 2, 1]);
  // Memory that forward and backward ask for, in bytes of one step [*].
  const made = (input: Tensor, gradient: Tensor, dtype: DType): number[] => {
    const from = input.to(dtype).detach();
    from.requiresGrad = true;
    const start = input.select(0, 0).to('float32').mul(0);
    const arriving = gradient.to(dtype);
    const before = memory();
    const s = lif(from, start, atan)[0];
    const middle = memory();
    s.backward(arriving);
    const after = memory();
    assert.deepEqual((from.grad as Tensor).strides, s.strides);
    const size = 4 * start.numel;
    return [middle, after].map(
      ({ allocatedBytes }, i) => (allocatedBytes - [before, middle][i]!.allocatedBytes) / size,
    );
  };
  for (const dtype of ['float32', 'bfloat16'] as const) {
    const usual = made(x, x, dtype);
    // Spikes and the charged membrane of all steps and a last state; backward adds the state's gradient, and for 16 bits
    // that of the input.
    const sequence = dtype === 'float32' ? steps : steps / 2;
    const wanted = dtype === 'float32' ? [2 * sequence + 1, 1] : [sequence + 1, sequence + 1];
    usual.forEach((found, i) => {
      assert.ok(found >= wanted[i]! && found < wanted[i]! + 0.5, `${dtype}: ${found}, expected ${wanted[i]}`);
    });
    for (const layout of [channelsLast, turned]) {
      assert.deepEqual(made(layout(x), layout(x), dtype), usual);
    }
    const still = x.narrow(0, 0, 1).expand([steps, ...shape]);
    assert.deepEqual(made(still, x, dtype), usual);
    assert.deepEqual(made(x, still, dtype), usual);
    // One that is not dense is copied, so the count can tell.
    const wide = zeros([steps, 4, 8, 32, 128], { dtype }).slice(4, 0, 128, 2);
    assert.ok(made(wide, x, dtype)[0]! > usual[0]!);
  }
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
  for (const dtype of ['float32', 'float64', 'bfloat16', 'float16']) {
    const [x, v] = [t.randn([37, 2003]).to(dtype), t.randn([2003], { dtype: dtype === 'float64' ? dtype : 'float32' })];
    const [tau, threshold] = [t.rand([2003], { dtype: v.dtype }).add(1.2), t.rand([], { dtype: v.dtype })].map((y) => y.detach());
    for (const y of [x, v, tau, threshold]) y.requiresGrad = true;
    const [s, last] = t.lif(x, v, { surrogate: 'SoftSign', tauTensor: tau, vThresholdTensor: threshold });
    s.mul(t.randn([37, 2003]).to(dtype)).sum().add(last.sum()).backward();
    for (const y of [s, last, x.grad, v.grad, tau.grad, threshold.grad])
      hash.update(new Uint8Array(y.to('float64').toTypedArray().buffer));
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
    for (const file of ['integrate_fire', 'lif', 'surrogates']) {
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
