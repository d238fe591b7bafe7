import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import {
  CosineAnnealingLR,
  MultiStepLR,
  type Scheduled,
  StepLR,
  schedulers,
} from '../../lib/training/index.js';
import { golden } from '../nn/helpers.js';

interface SchedulerCase {
  readonly type: 'scheduler';
  readonly kind: string;
  readonly params: object;
  readonly optimizer: { readonly params: { readonly lr: number } };
  readonly steps: number;
  readonly lr: readonly number[];
}

const cases = golden<{ cases: (SchedulerCase | { type: 'optimizer' })[] }>('optimizers.json').cases.filter(
  (entry) => entry.type === 'scheduler',
);

// A scheduler sees no more of an optimizer than its groups.
function rates(...lrs: number[]): Scheduled {
  return { paramGroups: lrs.map((lr) => ({ lr, params: [] })) };
}

function near(a: number, b: number): boolean {
  return Math.abs(a - b) <= 1e-12 + 1e-9 * Math.abs(b);
}

test('the golden table has each kind', () => {
  assert.deepEqual(new Set(cases.map(({ kind }) => kind)), new Set(schedulers.names()));
});

for (const [index, { kind, params, optimizer, lr, steps }] of cases.entries()) {
  test(`golden ${index}: ${kind} ${JSON.stringify(params)}`, () => {
    const scheduled = rates(optimizer.params.lr);
    const scheduler = new (schedulers.find(kind, []))(scheduled, params);
    assert.equal(lr.length, steps + 1);
    for (const [step, expected] of lr.entries()) {
      const [rate] = scheduler.lastLr;
      assert.ok(near(rate!, expected), `after ${step} steps: ${rate}, expected ${expected}`);
      scheduler.step();
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

test('a schedule that goes on from its state is the same', () => {
  const whole = new CosineAnnealingLR(rates(0.1), { tMax: 5, etaMin: 0.01 });
  const first = new CosineAnnealingLR(rates(0.1), { tMax: 5, etaMin: 0.01 });
  for (let i = 0; i < 6; i++) whole.step();
  for (let i = 0; i < 3; i++) first.step();
  const second = new CosineAnnealingLR(rates(first.lastLr[0]!), { tMax: 5, etaMin: 0.01 });
  second.loadStateDict(first.stateDict());
  for (let i = 3; i < 6; i++) second.step();
  assert.deepEqual(second.lastLr, whole.lastLr);
  assert.equal(second.lastEpoch, 6);
});

test('wrong parameters are ConfigErrors with their names', () => {
  const wrong = (make: () => unknown, text: RegExp): void =>
    assert.throws(make, (error: unknown) => error instanceof ConfigError && text.test(error.message));
  wrong(() => new StepLR(rates(1), {} as never), /stepSize: expected an integer >= 1, got nothing/);
  wrong(() => new StepLR(rates(1), { stepSize: 0 }), /stepSize: expected an integer >= 1, got 0/);
  wrong(() => new MultiStepLR(rates(1), { milestones: [1.5] }), /milestones\.0: expected an integer/);
  wrong(() => new CosineAnnealingLR(rates(1), { T_max: 0 } as never), /T_max: expected an integer >= 1/);
  wrong(() => new CosineAnnealingLR(rates(1), { t_max: 3 } as never), /nearest: tMax/);
});
