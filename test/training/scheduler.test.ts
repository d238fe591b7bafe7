import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { Parameter } from '../../lib/nn/index.js';
import { zeros } from '../../lib/tensor/index.js';
import {
  ChainedScheduler,
  ConstantLR,
  CosineAnnealingLR,
  CyclicLR,
  ExponentialLR,
  LambdaLR,
  MultiStepLR,
  OneCycleLR,
  type Optimizer,
  optimizers,
  ReduceLROnPlateau,
  resolveOptimizer,
  type Scheduled,
  type Scheduler,
  SequentialLR,
  SGD,
  SinDescent,
  StepLR,
  schedulers,
} from '../../lib/training/index.js';
import { golden } from '../nn/helpers.js';

interface SchedulerCase {
  readonly type: 'scheduler';
  readonly kind: string;
  readonly params: Record<string, unknown>;
  readonly optimizer: { readonly kind: string; readonly params: Record<string, unknown> };
  readonly steps: number;
  readonly metrics?: readonly number[];
  readonly error_at_step?: number;
  readonly lr: readonly number[];
  readonly momentum?: readonly number[];
}

const cases = ['optimizers.json', 'schedulers.json'].flatMap((name) =>
  golden<{ cases: (SchedulerCase | { type: 'optimizer' })[] }>(name).cases.filter(
    (entry) => entry.type === 'scheduler',
  ),
);

// What PyTorch computes in the corners of the parameters; written by test/golden/optim.py.
interface CornerCase {
  readonly kind: string;
  readonly params: object;
  readonly optimizer: { readonly kind: string; readonly params: object };
  readonly lrs: readonly number[];
  readonly steps: number;
  readonly metrics: readonly (number | 'nan' | 'inf' | '-inf')[] | null;
  readonly lr: readonly (readonly number[])[];
  readonly momentum: readonly (readonly (number | null)[])[];
}

const corners = golden<{ schedulers: CornerCase[] }>('optim.json').schedulers;

// A scheduler sees no more of an optimizer than its groups.
function rates(...lrs: number[]): Scheduled {
  return { paramGroups: lrs.map((lr) => ({ lr, params: [] })) };
}

function near(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-12 + 1e-9 * Math.abs(b);
}

// Of each group: the momentum, or the first beta.
function momenta({ paramGroups }: Scheduled): (number | null)[] {
  return paramGroups.map((group) => {
    const { momentum, betas } = group as { momentum?: number; betas?: readonly number[] };
    return betas?.[0] ?? momentum ?? null;
  });
}

test('the golden tables have each kind', () => {
  assert.equal(cases.length, 7 + 33);
  assert.deepEqual(new Set(cases.map(({ kind }) => kind)), new Set(schedulers.names()));
});

for (const [index, entry] of cases.entries()) {
  const { kind, params, lr, momentum, steps, metrics } = entry;
  test(`golden ${index}: ${kind} ${JSON.stringify(params)}`, () => {
    const config = { ...entry.optimizer, scheduler: { kind, params } };
    const { optimizer, scheduler } = resolveOptimizer(config, []).create([new Parameter(zeros([1]))]);
    assert.equal(lr.length, steps + 1);
    for (const [step, expected] of lr.entries()) {
      const [rate] = scheduler!.lastLr;
      assert.ok(near(rate!, expected), `after ${step} steps: ${rate}, expected ${expected}`);
      if (momentum) {
        const [found] = momenta(optimizer);
        assert.ok(
          near(found!, momentum[step]!),
          `after ${step} steps: momentum ${found}, expected ${momentum[step]}`,
        );
      }
      if (step < steps) scheduler!.step(metrics?.[step]);
    }
    if (entry.error_at_step !== undefined) {
      assert.equal(entry.error_at_step, steps + 1);
      const before = JSON.stringify([scheduler!.stateDict(), scheduler!.lastLr]);
      assert.throws(() => scheduler!.step(), ConfigError);
      assert.equal(JSON.stringify([scheduler!.stateDict(), scheduler!.lastLr]), before);
    }
  });
}

const spelt: Readonly<Record<string, number>> = {
  nan: Number.NaN,
  inf: Number.POSITIVE_INFINITY,
  '-inf': Number.NEGATIVE_INFINITY,
};

function made(kind: string, options: object, lrs: readonly number[]): Optimizer {
  const groups = lrs.map((lr) => ({ params: [new Parameter(zeros([1]))], lr }));
  return new (optimizers.find(kind, []))(groups, options);
}

for (const [index, { kind, params, optimizer: own, lrs, lr, momentum, metrics }] of corners.entries()) {
  test(`corner ${index}: ${kind} ${JSON.stringify(params)} ${own.kind}`, () => {
    const optimizer = made(own.kind, own.params, lrs);
    const scheduler = new (schedulers.find(kind, []))(optimizer, params);
    for (const [step, expected] of lr.entries()) {
      if (step > 0) {
        const metric = metrics?.[step - 1];
        scheduler.step(typeof metric === 'string' ? spelt[metric] : metric);
      }
      const found = [scheduler.lastLr, momenta(optimizer)];
      for (const [i, wanted] of [expected, momentum[step]!].entries()) {
        for (const [group, value] of wanted.entries()) {
          const got = found[i]![group] ?? null;
          const fits = value === null ? got === null : got !== null && near(got, value);
          assert.ok(fits, `after ${step} steps, group ${group}: ${found[i]}, expected ${wanted}`);
        }
      }
    }
  });
}

test('every group is scheduled from its own rate', () => {
  const scheduled = rates(1, 0.5);
  const scheduler = new StepLR(scheduled, { stepSize: 2, gamma: 0.5 });
  scheduler.step();
  scheduler.step();
  assert.deepEqual(scheduler.lastLr, [0.5, 0.25]);
  assert.deepEqual(scheduler.stateDict(), { last_epoch: 2, base_lrs: [1, 0.5] });
});

test('a group that comes later is scheduled from its own rate', () => {
  const scheduled = rates(1);
  const scheduler = new ConstantLR(scheduled, { factor: 0.5, totalIters: 2 });
  scheduled.paramGroups.push({ lr: 3, params: [] });
  scheduler.step();
  assert.deepEqual(scheduler.stateDict().base_lrs, [1, 3]);
});

const metricsOf = (step: number): number => Math.abs(Math.sin(step * 1.7));

for (const [index, { kind, params, optimizer: own, lrs, steps }] of corners.entries()) {
  test(`resume ${index}: ${kind} goes on from its state, through JSON, with the same bits`, () => {
    const make = (): { optimizer: Optimizer; scheduler: Scheduler } => {
      const optimizer = made(own.kind, own.params, lrs);
      return { optimizer, scheduler: new (schedulers.find(kind, []))(optimizer, params) };
    };
    const run = ({ scheduler }: ReturnType<typeof make>, from: number, to: number): void => {
      for (let step = from; step < to; step++) {
        scheduler.stepEpoch({ epoch: step + 1, train_loss: metricsOf(step) });
      }
    };
    for (const stop of [0, 1, Math.floor(steps / 2), steps]) {
      const [whole, first, second] = [make(), make(), make()];
      run(whole, 0, steps);
      run(first, 0, stop);
      const saved = JSON.stringify([first.optimizer.stateDict().param_groups, first.scheduler.stateDict()]);
      const [groups, state] = JSON.parse(saved);
      second.scheduler.loadStateDict(state);
      second.optimizer.loadStateDict({ state: {}, param_groups: groups });
      run(second, stop, steps);
      assert.deepEqual(second.scheduler.lastLr, whole.scheduler.lastLr);
      assert.deepEqual(momenta(second.optimizer), momenta(whole.optimizer));
      assert.deepEqual(second.scheduler.stateDict(), whole.scheduler.stateDict());
    }
  });
}

test('a state that does not fit is a ConfigError with the place, and changes nothing', () => {
  const parts = [
    { kind: 'ConstantLR', params: {} },
    { kind: 'StepLR', params: { step_size: 2 } },
  ];
  const scheduler = new SequentialLR(rates(1), { schedulers: parts, milestones: [3] });
  const good = scheduler.stateDict();
  const wrong = (state: object, message: string): void =>
    assert.throws(() => scheduler.loadStateDict(state as never), { name: 'ConfigError', message });
  wrong({}, 'last_epoch: expected an integer, got nothing');
  wrong({ ...good, last_epoch: 0.5 }, 'last_epoch: expected an integer, got 0.5');
  wrong({ ...good, base_lrs: [1, 2] }, 'base_lrs: expected one rate for each of 1 groups, got 2');
  wrong({ ...good, _schedulers: [] }, '_schedulers: expected the states of 2 schedulers, got 0');
  wrong(
    { ...good, last_epoch: 7, _schedulers: [{ last_epoch: 4, base_lrs: [1] }, {}] },
    '_schedulers.1.last_epoch: expected an integer, got nothing',
  );
  assert.deepEqual(scheduler.stateDict(), good);
  const plateau = new ReduceLROnPlateau(rates(1));
  const state = plateau.stateDict();
  assert.equal(state.best, 'Infinity');
  assert.throws(() => plateau.loadStateDict({ ...state, best: 'low' as never }), {
    message: 'best: expected a number, got "low"',
  });
  const { num_bad_epochs: _, ...less } = state;
  assert.throws(() => plateau.loadStateDict(less), {
    message: 'num_bad_epochs: expected an integer >= 0, got nothing',
  });
  // PyTorch's dictionary has more, and the infinity itself.
  plateau.loadStateDict({ ...state, best: Number.POSITIVE_INFINITY, mode: 'min', _last_lr: [1] } as never);
});

test('wrong parameters are ConfigErrors with their names', () => {
  const wrong = (make: () => unknown, text: RegExp): void =>
    assert.throws(make, (error: unknown) => error instanceof ConfigError && text.test(error.message));
  wrong(() => new StepLR(rates(1), {} as never), /stepSize: expected an integer >= 1, got nothing/);
  wrong(() => new StepLR(rates(1), { stepSize: 0 }), /stepSize: expected an integer >= 1, got 0/);
  wrong(() => new MultiStepLR(rates(1), { milestones: [1.5] }), /milestones\.0: expected an integer/);
  wrong(() => new CosineAnnealingLR(rates(1), { T_max: 0 } as never), /T_max: expected an integer >= 1/);
  wrong(() => new CosineAnnealingLR(rates(1), { t_max: 3 } as never), /nearest: tMax/);
  wrong(() => new ConstantLR(rates(1), { factor: 1.5 }), /factor: expected a number >= 0 and <= 1, got 1.5/);
  wrong(() => new ExponentialLR(rates(1), {} as never), /gamma: expected a number, got nothing/);
  wrong(() => new SinDescent(rates(1), {} as never), /epoch: expected an integer >= 1, got nothing/);
  wrong(() => new SinDescent(rates(1), { epoch: -1 }), /epoch: expected an integer >= 1, got -1/);
  wrong(() => new SinDescent(rates(1), { epoch: 3, pme: Number.NaN }), /pme: expected a (finite )?number/);
  wrong(
    () => new ReduceLROnPlateau(rates(1), { factor: 1 }),
    /factor: expected a number >= 0 and < 1, got 1/,
  );
  wrong(
    () => new ReduceLROnPlateau(rates(1, 2), { minLr: [1] }),
    /minLr: expected a number, or a list with one for each of 2 parameter groups, got a list of 1/,
  );
  wrong(
    () => new OneCycleLR(rates(1), { maxLr: 1, epochs: 3, cycleMomentum: false }),
    /totalSteps: expected an integer >= 1, unless there are epochs and stepsPerEpoch, got nothing/,
  );
  wrong(
    () => new CyclicLR(rates(1), { baseLr: 1, maxLr: 2 }),
    /cycleMomentum: expected false with an optimizer that has neither momentum nor betas, got true/,
  );
  wrong(
    () => new CyclicLR(made('Adam', {}, [1]), { baseLr: 1, maxLr: 2, maxMomentum: 1 }),
    /maxMomentum: expected a number < 1 for an optimizer with betas, got 1/,
  );
  wrong(
    () => new CyclicLR(rates(1), { baseLr: 1, maxLr: 2, stepSizeUp: 0 }),
    /stepSizeUp: expected a number > 0/,
  );
  wrong(
    () => new CyclicLR(rates(1), { baseLr: 1, maxLr: 2, scaleFn: 'x' as never }),
    /scaleFn: expected a function, which only code can give, got "x"/,
  );
  wrong(
    () => new LambdaLR(rates(1), { lrLambda: 3 as never }),
    /lrLambda: expected a function, or a list of them/,
  );
  wrong(
    () => new LambdaLR(rates(1), { lrLambda: [() => 1, () => 1] }),
    /lrLambda: expected one function for each of 1 groups, got 2/,
  );
  wrong(
    () => new ChainedScheduler(rates(1), { schedulers: [] }),
    /schedulers: expected a list of at least one/,
  );
  const other = new StepLR(rates(1), { stepSize: 1 });
  wrong(
    () => new ChainedScheduler(rates(1), { schedulers: [other] }),
    /schedulers\.0: expected a scheduler of the same optimizer, got another optimizer's/,
  );
  const plateau = new ReduceLROnPlateau(rates(1));
  wrong(
    () => new ChainedScheduler(rates(1), { schedulers: [plateau] }),
    /schedulers\.0: expected a scheduler that steps without a metric, got "ReduceLROnPlateau"/,
  );
  wrong(
    () =>
      new SequentialLR(rates(1), {
        schedulers: [{ kind: 'ExponentialLR', params: { gamma: 1 } }],
        milestones: [3],
      }),
    /milestones: expected 0 epochs, one less than schedulers, got 1/,
  );
});

test('ReduceLROnPlateau takes the metric that it monitors', () => {
  const reduced = (monitor: string | null, metrics: Record<string, number>): readonly number[] => {
    const scheduler = new ReduceLROnPlateau(rates(1), { patience: 0, factor: 0.5, monitor });
    scheduler.stepEpoch({ train_loss: 1, val_loss: 1, val_acc: 1 });
    scheduler.stepEpoch(metrics);
    return scheduler.lastLr;
  };
  assert.deepEqual(reduced(null, { train_loss: 2, val_loss: 0.5 }), [1]);
  assert.deepEqual(reduced(null, { train_loss: 0.5, val_loss: 2 }), [0.5]);
  assert.deepEqual(reduced(null, { train_loss: 2 }), [0.5]);
  assert.deepEqual(reduced('val_acc', { val_acc: 0.5, val_loss: 3 }), [1]);
  assert.throws(() => reduced('val_f1', { epoch: 2, lr: 1, train_loss: 2, val_loss: 2 }), {
    message:
      'monitor: expected a metric that is measured: one of train_loss, val_loss, val_acc, got "val_f1"',
  });
  assert.throws(() => new ReduceLROnPlateau(rates(1)).step(), {
    code: 'ERR_SPIKENODE_TYPE',
    message: "ReduceLROnPlateau.step: argument 'metric' must be a number, got undefined",
  });
});

test('functions of the epoch: LambdaLR and the scale of CyclicLR', () => {
  const lambda = new LambdaLR(rates(1, 2), { lrLambda: [(epoch) => 1 / (epoch + 1), () => 0.5] });
  assert.deepEqual(lambda.lastLr, [1, 1]);
  lambda.step();
  assert.deepEqual(lambda.lastLr, [0.5, 1]);
  const broken = new LambdaLR(rates(1), { lrLambda: (epoch) => (epoch < 1 ? 1 : Number.NaN) });
  assert.throws(() => broken.step(), {
    message:
      "LambdaLR: argument 'lrLambda' must be a function that gives a finite number for epoch 1, got NaN",
  });
  const seen: number[] = [];
  for (const [scaleMode, wanted] of [
    ['cycle', [1, 1, 1, 2]],
    ['iterations', [0, 1, 2, 3]],
  ] as const) {
    seen.length = 0;
    const scaleFn = (x: number): number => {
      seen.push(x);
      return 0.5;
    };
    const cyclic = new CyclicLR(rates(1), {
      baseLr: 0,
      maxLr: 1,
      stepSizeUp: 1.5,
      cycleMomentum: false,
      scaleFn,
      scaleMode,
    });
    for (let i = 0; i < 3; i++) cyclic.step();
    assert.deepEqual(seen, wanted);
    assert.ok(near(cyclic.lastLr[0]!, 0));
  }
});

test('parts that are made already are used as they are', () => {
  const optimizer = new SGD([new Parameter(zeros([1]))], { lr: 1 });
  const parts = [
    new ConstantLR(optimizer, { factor: 0.5, totalIters: 9 }),
    new ExponentialLR(optimizer, { gamma: 0.5 }),
  ];
  const scheduler = new SequentialLR(optimizer, { schedulers: parts, milestones: [2] });
  assert.deepEqual(scheduler.schedulers, parts);
  const found = [0, 1, 2, 3].map(() => {
    const [rate] = scheduler.lastLr;
    scheduler.step();
    return rate;
  });
  assert.deepEqual(found, [0.5, 0.5, 1, 0.5]);
});

test('SinDescent is defined where the rates at both ends are equal, or zero', () => {
  for (const lr0 of [0, 0.3]) {
    const scheduler = new SinDescent(rates(1), { epoch: 4, lr0, lrf: lr0, pme: 1 });
    const found = [0, 1, 2, 3, 4].map((i) => {
      if (i > 0) scheduler.step();
      return scheduler.lastLr[0]!;
    });
    const wanted = [lr0, lr0 + 0.75, lr0, lr0 - 0.25, lr0];
    for (const [i, rate] of found.entries()) assert.ok(near(rate, wanted[i]!), `${found}`);
  }
});

test('a ConstantLR of no epochs has its factor for ever, but not where it takes over in a sequence', () => {
  const alone = rates(0.4);
  const constant = new ConstantLR(alone, { factor: 0.5, totalIters: 0 });
  constant.step();
  assert.equal(alone.paramGroups[0]!.lr, 0.2);
  const optimizer = rates(0.4);
  const sequence = new SequentialLR(optimizer, {
    schedulers: [
      { kind: 'ExponentialLR', params: { gamma: 0.9 } },
      { kind: 'ConstantLR', params: { factor: 0.5, total_iters: 0 } },
    ],
    milestones: [1],
  });
  for (let epoch = 1; epoch < 4; epoch++) {
    sequence.step();
    assert.equal(optimizer.paramGroups[0]!.lr, 0.4);
  }
});
