import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { Linear, Parameter } from '../../lib/nn/index.js';
import { type DType, memory, ones, type Tensor, tensor, tidy, zeros } from '../../lib/tensor/index.js';
import { Adam, AdamW, optimizers, resolveOptimizer, SGD } from '../../lib/training/index.js';
import { golden, shaped } from '../nn/helpers.js';
import { largestDifference } from '../tensor/helpers.js';
import { fullOptions, leaf, type Nested, numbers } from './optimizer-cases.js';

interface OptimizerCase {
  readonly type: 'optimizer';
  readonly kind: string;
  readonly params: Record<string, unknown>;
  readonly init: readonly Nested[];
  readonly grads: readonly (readonly Nested[])[];
  readonly values: readonly (readonly Nested[])[];
  readonly scheduler?: { readonly kind: string; readonly params: object };
  readonly steps_per_epoch?: number;
  readonly lr?: readonly number[];
  readonly tolerance?: number;
}

const cases = ['optimizers.json', 'schedulers.json'].flatMap((name) =>
  golden<{ cases: (OptimizerCase | { type: 'scheduler' })[] }>(name).cases.filter(
    (entry) => entry.type === 'optimizer',
  ),
);

// What PyTorch computes in the corners of the parameters; written by test/golden/optim.py.
interface CornerCase {
  readonly kind: string;
  readonly params: Record<string, unknown>;
  readonly dtype: DType;
  readonly shapes: readonly (readonly number[])[];
  readonly groups: readonly object[] | null;
  readonly init: readonly (readonly number[])[];
  readonly grads: readonly (readonly (readonly number[] | null)[])[];
  readonly values: readonly (readonly (readonly number[])[])[];
  readonly state: readonly Readonly<Record<string, readonly number[]>>[];
}

const corners = golden<{ optimizers: CornerCase[] }>('optim.json').optimizers;

function flat(values: Nested): number[] {
  return (Array.isArray(values) ? values : [values]).flat(9) as number[];
}

test('the golden table has the optimizers, with and without schedulers', () => {
  assert.equal(cases.length, 18 + 38);
  assert.equal(cases.filter(({ scheduler }) => scheduler).length, 3 + 3);
  assert.deepEqual(new Set(cases.map(({ kind }) => kind)), new Set(optimizers.names()));
  assert.deepEqual(new Set(corners.map(({ kind }) => kind)), new Set(optimizers.names()));
});

for (const [index, entry] of cases.entries()) {
  const { kind, params, scheduler: schedule, tolerance = 1e-9 } = entry;
  test(`golden ${index}: ${kind} ${JSON.stringify(params)} ${schedule?.kind ?? ''}`, () => {
    const parameters = entry.init.map((values) => leaf(values));
    const config = { kind, params, ...(schedule && { scheduler: schedule }) };
    const { optimizer, scheduler } = resolveOptimizer(config as never, []).create(parameters);
    for (const [step, grads] of entry.grads.entries()) {
      if (entry.lr) assert.ok(Math.abs(optimizer.paramGroups[0]!.lr - entry.lr[step]!) < 1e-12);
      for (const [i, parameter] of parameters.entries()) {
        parameter.grad = tensor(grads[i] as number[], { dtype: 'float64' });
      }
      optimizer.step();
      if (scheduler && (step + 1) % entry.steps_per_epoch! === 0) scheduler.step();
      for (const [i, parameter] of parameters.entries()) {
        const worst = largestDifference(numbers(parameter), flat(entry.values[step]![i]!));
        assert.ok(worst < tolerance, `step ${step}, tensor ${i}: ${worst}`);
      }
    }
  });
}

// Relative; PyTorch's fused operators and its others differ by rounding, in 16 bits by a unit of the last place.
const tolerances: Readonly<Record<string, number>> = {
  float64: 1e-9,
  float32: 2e-6,
  bfloat16: 2 ** -7,
  float16: 2 ** -10,
};

for (const [index, entry] of corners.entries()) {
  const { kind, params, dtype, shapes, groups } = entry;
  test(`corner ${index}: ${kind} ${dtype} ${JSON.stringify(params)} ${JSON.stringify(groups)}`, () => {
    const of = (values: readonly number[], i: number): Tensor => shaped(values, shapes[i]!, dtype);
    const parameters = entry.init.map((values, i) => new Parameter(of(values, i)));
    const given = groups?.map((own, i) => ({ params: [parameters[i]!], ...own })) ?? parameters;
    const optimizer = new (optimizers.find(kind, []))(given as Parameter[], params);
    // NAdam's and ASGD's numbers in float32 are rounded in another order by PyTorch.
    const limit = Math.max(tolerances[dtype]!, kind === 'NAdam' || kind === 'ASGD' ? 1e-7 : 0);
    for (const [step, grads] of entry.grads.entries()) {
      for (const [i, parameter] of parameters.entries()) {
        parameter.grad = grads[i] ? of(grads[i], i) : null;
      }
      optimizer.step();
      for (const [i, parameter] of parameters.entries()) {
        const worst = largestDifference(numbers(parameter.detach().to('float64')), entry.values[step]![i]!);
        assert.ok(worst <= limit, `step ${step}, tensor ${i}: ${worst}`);
      }
    }
    const { state } = optimizer.stateDict();
    for (const [i, expected] of entry.state.entries()) {
      const own = state[i] ?? {};
      assert.deepEqual(Object.keys(own), Object.keys(expected));
      for (const [name, values] of Object.entries(own)) {
        assert.equal(values.dtype, values.shape.length === 0 ? 'float32' : dtype, name);
        const worst = largestDifference(numbers(values.to('float64')), expected[name]!);
        assert.ok(worst <= limit, `${name}: ${worst}`);
      }
    }
  });
}

test('a gradient in another memory layout than its parameter is applied element by element', () => {
  for (const make of [SGD, Adam, AdamW]) {
    const straight = leaf([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const turned = leaf([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    straight.grad = tensor(
      [
        [0.1, 20, -3],
        [-4, 0.5, 60],
      ],
      { dtype: 'float64' },
    );
    turned.grad = tensor(
      [
        [0.1, -4],
        [20, 0.5],
        [-3, 60],
      ],
      { dtype: 'float64' },
    ).t();
    assert.deepEqual(turned.grad?.strides, [1, 2]);
    const optimizer = new make([straight, turned], { lr: 0.5 });
    optimizer.step();
    assert.deepEqual(numbers(turned), numbers(straight));
    assert.notDeepEqual(numbers(turned), [1, 2, 3, 4, 5, 6]);
  }
});

test('options come in either spelling; wrong ones are ConfigErrors with the place', () => {
  const parameters = [leaf([1])];
  const given = { weight_decay: 0.5, lr: 0.1 } as object;
  assert.equal(new Adam(parameters, given).paramGroups[0]!.weightDecay, 0.5);
  const path = (make: () => unknown): string => {
    try {
      make();
    } catch (error) {
      if (error instanceof ConfigError) return `${error.path.join('.')}: ${error.expected}`;
      throw error;
    }
    return 'no error';
  };
  assert.equal(
    path(() => new SGD(parameters, { lr: -1 })),
    'lr: a number >= 0',
  );
  assert.equal(
    path(() => new Adam(parameters, { betas: [0.9, 1] })),
    'betas.1: a number >= 0 and < 1',
  );
  assert.match(
    path(() => new Adam(parameters, { betas: [0.9] as never })),
    /^betas: .*two numbers/,
  );
  assert.match(
    path(() => new Adam(parameters, { momentum: 1 } as never)),
    /^momentum: a known key/,
  );
  assert.match(
    path(() => new SGD(parameters, { nesterov: true })),
    /^momentum: a number > 0 with nesterov/,
  );
  const both = { weightDecay: 0.1, weight_decay: 0.1 };
  assert.match(
    path(() => new SGD(parameters, both as object)),
    /one spelling/,
  );
  const check = (config: unknown): string => path(() => resolveOptimizer(config as never, ['optimizer']));
  assert.match(check({ kind: 'Adm' }), /^optimizer\.kind: an optimizer kind.*nearest: Adam/);
  assert.match(check({ kind: 'SGD', params: { nesterov: true } }), /^optimizer\.params\.momentum: /);
  assert.match(
    check({ kind: 'SGD', params: { momentum: 0.9, nesterov: true, dampening: 0.1 } }),
    /^optimizer\.params\.dampening: 0 with/,
  );
  assert.match(check({ kind: 'SGD', schedule: {} }), /^optimizer\.schedule: .*nearest: scheduler/);
  assert.equal(
    check({ kind: 'SGD', scheduler: { kind: 'StepLR', params: {} } }),
    'optimizer.scheduler.params.step_size: an integer >= 1',
  );
});

test('groups have hyperparameters of their own, in either spelling', () => {
  const [a, b] = [leaf([1]), leaf([1])];
  const optimizer = new SGD([{ params: [a] }, { params: [b], lr: 1, weight_decay: 0.5 }], {
    lr: 0.25,
    weightDecay: 0,
  });
  for (const parameter of [a, b]) parameter.grad = ones([1], { dtype: 'float64' });
  optimizer.step();
  assert.deepEqual([numbers(a), numbers(b)], [[0.75], [-0.5]]);
  optimizer.addParamGroup({ params: [leaf([3])], momentum: 0.5 });
  assert.deepEqual(
    optimizer.paramGroups.map(({ lr, momentum }) => [lr, momentum]),
    [
      [0.25, 0],
      [1, 0],
      [0.25, 0.5],
    ],
  );
  assert.throws(() => optimizer.addParamGroup({ params: [a] }), /without repetition/);
});

test('what is no list of leaf tensors is a TypeError', () => {
  const wrong = (parameters: unknown, text: RegExp): void =>
    assert.throws(() => new SGD(parameters as Iterable<Tensor>), { name: 'TypeError', message: text });
  wrong([], /at least one Tensor/);
  wrong(leaf([1]), /an iterable of Tensors/);
  wrong(new Linear(2, 2), /an iterable of Tensors/);
  wrong([leaf([1]).mul(2)], /leaf tensors/);
  wrong([leaf([1]), 3], /must be Tensors/);
  wrong([new Parameter(zeros([4, 4]).narrow(1, 0, 2))], /gaps/);
  wrong([new Parameter(zeros([4, 1]).expand([4, 4]))], /gaps/);
});

test('transposed and channels-last parameters are updated in place', () => {
  const weight = new Parameter(
    tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ]).t(),
  );
  weight.grad = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  new SGD([weight], { lr: 1 }).step();
  assert.deepEqual(weight.tolist(), [
    [0, 1, 2],
    [-2, -1, 0],
  ]);
});

test('parameters without a gradient keep value and age; dtypes may be mixed', () => {
  const [a, b, c] = [leaf([1]), leaf([1]), leaf([1], 'float32')];
  const optimizer = new Adam([a, b, c], { lr: 0.1 });
  a.grad = ones([1], { dtype: 'float64' });
  c.grad = ones([1]);
  optimizer.step();
  optimizer.step();
  b.grad = ones([1], { dtype: 'float64' });
  optimizer.step();
  // With a constant gradient every step of Adam is lr, whatever the age.
  const [x, y, z] = [a, b, c].map((parameter) => numbers(parameter)[0] as number);
  assert.ok(Math.abs(x! - 0.7) < 1e-7 && Math.abs(y! - 0.9) < 1e-7 && Math.abs(z! - 0.7) < 1e-6);
  const ages = Object.values(optimizer.stateDict().state).map((own) => own['step']!.item());
  assert.deepEqual(ages, [3, 1, 3]);
  optimizer.zeroGrad();
  assert.deepEqual([a.grad, b.grad, c.grad], [null, null, null]);
});

test('momentum that starts later than its neighbour starts with the bare gradient', () => {
  const [a, b] = [leaf([0]), leaf([0])];
  const optimizer = new SGD([a, b], { lr: 1, momentum: 0.5, dampening: 0.5 });
  a.grad = tensor([1], { dtype: 'float64' });
  optimizer.step();
  b.grad = tensor([1], { dtype: 'float64' });
  optimizer.step();
  // b = g, then momentum * b + (1 - dampening) * g.
  assert.deepEqual([numbers(a), numbers(b)], [[-2], [-1]]);
});

test('parameters that torch.optim refuses are ConfigErrors', () => {
  const wrong = (kind: string, params: object, text: RegExp): void =>
    assert.throws(
      () => new (optimizers.find(kind, []))([leaf([1])], params),
      (error: unknown) => error instanceof ConfigError && text.test(error.message),
    );
  wrong('Rprop', { etas: [0, 1.2] }, /etas\.0: expected a number > 0 and < 1, got 0/);
  wrong('Rprop', { etas: [0.5, 1] }, /etas\.1: expected a number > 1, got 1/);
  wrong(
    'Rprop',
    { step_sizes: [2, 1] },
    /step_sizes\.1: expected a number >= 2, the smallest step size, got 1/,
  );
  wrong('Rprop', { etas: [0.5] }, /etas: expected a list of two numbers/);
  wrong('Adadelta', { rho: 1.5 }, /rho: expected a number >= 0 and <= 1/);
  wrong('Adagrad', { lrDecay: -1 }, /lrDecay: expected a number >= 0/);
  wrong('NAdam', { momentum_decay: -1 }, /momentumDecay: expected a number >= 0/);
  wrong('RMSprop', { alpha: -0.1 }, /alpha: expected a number >= 0/);
  for (const kind of ['Adam', 'AdamW', 'NAdam', 'RAdam', 'Adamax'])
    wrong(kind, { betas: [0.9, 1] }, /betas\.1/);
  for (const kind of optimizers.names()) wrong(kind, { lr: Number.NaN }, /lr: expected a (finite )?number/);
});

test('steps leave no tensors behind, and dispose gives the states back', () => {
  const parameter = leaf([1, 2]);
  parameter.grad = tidy(() => tensor([1, 1], { dtype: 'float64' }));
  const before = memory().tensors;
  for (const [kind, options] of Object.entries(fullOptions)) {
    const optimizer = new (optimizers.find(kind, []))([parameter], options);
    optimizer.step();
    const stepped = memory().tensors;
    assert.ok(stepped > before);
    for (let i = 0; i < 100; i++) optimizer.step();
    assert.equal(memory().tensors, stepped);
    optimizer.dispose();
    assert.equal(memory().tensors, before);
  }
});

for (const [name, make] of Object.entries({
  SGD: (p: Parameter[]) => new SGD(p, { lr: 0.1, momentum: 0.9 }),
  Adam: (p: Parameter[]) => new Adam(p, { lr: 0.1, amsgrad: true }),
  AdamW: (p: Parameter[]) => new AdamW(p, { lr: 0.1 }),
})) {
  test(`${name}.stepAsync gives the bits of step, whatever is dropped meanwhile`, async () => {
    const start = [
      [1, -2, 3, 0.5],
      [4, 5],
    ];
    const [now, later] = [start.map((v) => leaf(v)), start.map((v) => leaf(v, 'float32'))];
    const same = start.map((v) => leaf(v, 'float32'));
    const [sync, queue, other] = [make(same), make(later), make(now)];
    let tensors = 0;
    for (let step = 1; step <= 4; step++) {
      for (const parameters of [now, later, same]) {
        for (const p of parameters) tidy(() => p.mul(p).mul(step).sum().backward());
      }
      sync.step();
      sync.zeroGrad();
      const done = [queue.stepAsync(), other.stepAsync()];
      queue.zeroGrad();
      other.zeroGrad();
      await Promise.all(done);
      assert.deepEqual(later.map(numbers), same.map(numbers));
      if (step === 1) tensors = memory().tensors;
    }
    assert.notDeepEqual(numbers(later[0]!), start[0]);
    assert.ok(now.every((p, i) => largestDifference(numbers(p), numbers(same[i]!)) < 1e-5));
    // Less when tensors of other tests were collected meanwhile.
    assert.ok(memory().tensors <= tensors);
  });
}
