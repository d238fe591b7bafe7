import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, DTypeError, TorchError } from '../../lib/errors.js';
import { Parameter } from '../../lib/nn/index.js';
import {
  autocast,
  linear,
  manualSeed,
  memory,
  mseLoss,
  noGrad,
  ones,
  randn,
  type Tensor,
  tensor,
  tidy,
} from '../../lib/tensor/index.js';
import { GradScaler, type GradScalerState, SGD } from '../../lib/training/index.js';
import { golden } from '../nn/helpers.js';
import { largestDifference } from '../tensor/helpers.js';

interface Step {
  readonly grads: readonly (readonly string[])[];
  readonly clip?: number;
  readonly new_scale?: number;
}

interface Case {
  readonly options: Record<string, number | boolean>;
  readonly steps: readonly Step[];
  readonly after: readonly { readonly state: GradScalerState; readonly params: readonly number[][] }[];
}

const { cases } = golden<{ cases: readonly Case[] }>('grad_scaler.json');
const numberOf = (text: string): number => Number(text.replace('inf', 'Infinity'));
const values = (x: Tensor): Float32Array => x.toTypedArray() as Float32Array;

for (const isAsync of [false, true]) {
  for (const [index, { options, steps, after }] of cases.entries()) {
    test(`golden ${index}: ${JSON.stringify(options)}${isAsync ? ', stepAsync' : ''}`, async () => {
      using scaler = new GradScaler(options);
      const count = Math.max(...steps.map(({ grads }) => grads.length));
      const params = Array.from({ length: count }, () => new Parameter(tensor([1, -2, 0.5])));
      const optimizers = params.map((p) => new SGD([p], { lr: 0.1, momentum: 0.9 }));
      for (const [i, step] of steps.entries()) {
        for (const [j, gradient] of step.grads.entries()) {
          const [p, optimizer] = [params[j]!, optimizers[j]!];
          optimizer.zeroGrad();
          tidy(() => scaler.scale(p.mul(tensor(gradient.map(numberOf))).sum()).backward());
          if (step.clip !== undefined) {
            scaler.unscale_(optimizer);
            (p.grad as Tensor).clamp_(-step.clip, step.clip);
          }
          if (isAsync) await scaler.stepAsync(optimizer);
          else scaler.step(optimizer);
        }
        scaler.update(step.new_scale);
        const expected = after[i]!;
        assert.deepEqual(scaler.stateDict(), expected.state, `state after step ${i}`);
        for (const [j, p] of params.entries()) {
          assert.ok(largestDifference(values(p), expected.params[j]!) < 1e-6, `parameters after step ${i}`);
        }
      }
    });
  }
}

function setup(gradient: readonly number[] = [1, 2]): { p: Parameter; optimizer: SGD; scaler: GradScaler } {
  const p = new Parameter(tensor([1, 1]));
  const optimizer = new SGD([p], { lr: 0.1 });
  const scaler = new GradScaler({ initScale: 4, growthInterval: 2 });
  scaler.scale(p.mul(tensor([...gradient])).sum()).backward();
  return { p, optimizer, scaler };
}

test('the order of calls is checked', async () => {
  const refused = (fn: () => unknown, message: string): void =>
    assert.throws(fn, (error: Error) => error instanceof TorchError && error.message === message);
  const { optimizer, scaler } = setup();
  const fresh = new GradScaler();
  const unscaled = 'no loss was scaled yet; call scale(loss).backward() before';
  refused(() => fresh.step(optimizer), `GradScaler.step: ${unscaled}`);
  refused(() => fresh.unscale_(optimizer), `GradScaler.unscale_: ${unscaled}`);
  refused(() => fresh.update(), `GradScaler.update: ${unscaled}`);
  refused(() => scaler.update(), 'GradScaler.update: no gradients were unscaled since the last update()');
  scaler.unscale_(optimizer);
  refused(
    () => scaler.unscale_(optimizer),
    'GradScaler.unscale_: it was called for this optimizer already since the last update()',
  );
  scaler.step(optimizer);
  refused(
    () => scaler.unscale_(optimizer),
    'GradScaler.unscale_: it comes after step since the last update()',
  );
  const twice = 'GradScaler.step: it was called for this optimizer already since the last update()';
  refused(() => scaler.step(optimizer), twice);
  await assert.rejects(scaler.stepAsync(optimizer), { message: twice });
  scaler.update();
  optimizer.zeroGrad();
  const none = 'GradScaler.step: none of the parameters of this optimizer has a gradient';
  refused(() => scaler.step(optimizer), none);
  await assert.rejects(scaler.stepAsync(optimizer), { message: none });
  await assert.rejects(scaler.stepAsync(optimizer), { message: none });
  await assert.rejects(new GradScaler().stepAsync(optimizer), /no loss was scaled/);
});

test('two stepAsync of one optimizer without an update between them: the second is refused', async () => {
  const { p, optimizer, scaler } = setup();
  const first = scaler.stepAsync(optimizer);
  await assert.rejects(scaler.stepAsync(optimizer), TorchError);
  await first;
  assert.ok(largestDifference(values(p), [0.9, 0.8]) < 1e-6);
});

test('float16 gradients are refused, bfloat16 and float64 ones unscaled', async () => {
  for (const dtype of ['float16', 'bfloat16', 'float64'] as const) {
    const p = new Parameter(ones([2], { dtype }));
    const optimizer = new SGD([p], { lr: 0.5 });
    const scaler = new GradScaler({ initScale: 4 });
    scaler.scale(p.sum()).backward();
    if (dtype === 'float16') {
      assert.throws(() => scaler.unscale_(optimizer), DTypeError);
      await assert.rejects(scaler.stepAsync(optimizer), DTypeError);
      assert.throws(() => scaler.step(optimizer), DTypeError);
      continue;
    }
    scaler.unscale_(optimizer);
    assert.deepEqual((p.grad as Tensor).tolist(), [1, 1]);
  }
});

test('gradients of several dtypes share one verdict', () => {
  const [p, q] = [new Parameter(ones([2])), new Parameter(ones([2], { dtype: 'float64' }))];
  const optimizer = new SGD([p, q], { lr: 0.5 });
  const scaler = new GradScaler({ initScale: 4 });
  for (const loss of scaler.scale([p.sum(), q.mul(Infinity).sum()])) loss.backward();
  scaler.step(optimizer);
  assert.deepEqual(
    [p.tolist(), q.tolist()],
    [
      [1, 1],
      [1, 1],
    ],
  );
  scaler.update();
  assert.equal(scaler.getScale(), 2);
});

test('disabled, everything is the optimizer', async () => {
  const { p, optimizer } = setup();
  const before = values(p.grad as Tensor);
  const scaler = new GradScaler({ enabled: false });
  const loss = p.sum();
  assert.equal(scaler.scale(loss), loss);
  assert.equal(scaler.getScale(), 1);
  assert.equal(scaler.isEnabled(), false);
  scaler.unscale_(optimizer);
  assert.deepEqual(values(p.grad as Tensor), before);
  scaler.step(optimizer);
  await scaler.stepAsync(optimizer);
  scaler.update();
  assert.ok(largestDifference(values(p), [1 - 0.8, 1 - 1.6]) < 1e-6);
  assert.deepEqual(scaler.stateDict(), {});
  scaler.loadStateDict({});
});

test('a state goes on where it was saved', () => {
  const { optimizer, scaler } = setup();
  scaler.step(optimizer);
  scaler.update();
  const state = scaler.stateDict() as GradScalerState;
  assert.deepEqual(state, {
    scale: 4,
    growth_factor: 2,
    backoff_factor: 0.5,
    growth_interval: 2,
    _growth_tracker: 1,
  });
  const other = new GradScaler({ growthFactor: 3 });
  other.loadStateDict(state);
  assert.deepEqual(other.stateDict(), state);
  for (const one of [scaler, other]) {
    if (one === other) one.dispose();
    one.scale(optimizer.paramGroups[0]!.params[0]!.sum()).backward();
    one.step(optimizer);
    one.update();
    assert.equal(one.getScale(), 8);
  }
});

test('wrong options, states and scales are errors, and change nothing', () => {
  const thrown = (options: object, message: string): void =>
    assert.throws(
      () => new GradScaler(options as never),
      (error: Error) => error instanceof ConfigError && error.message.startsWith(message),
    );
  thrown({ initScale: 0 }, 'initScale: expected');
  thrown({ growth_factor: 1 }, 'growth_factor: expected');
  thrown({ backoffFactor: 1 }, 'backoffFactor: expected');
  thrown({ growthInterval: 0 }, 'growthInterval: expected');
  thrown({ growthIntervall: 3 }, 'growthIntervall: expected');
  const { optimizer, scaler } = setup();
  const state = scaler.stateDict() as GradScalerState;
  assert.throws(() => scaler.loadStateDict({}), ConfigError);
  assert.throws(() => scaler.loadStateDict({ ...state, growth_factor: 0 }), ConfigError);
  assert.throws(() => scaler.loadStateDict({ ...state, _growth_tracker: 1.5 }), ConfigError);
  assert.deepEqual(scaler.stateDict(), state);
  scaler.step(optimizer);
  for (const scale of [0, -1, NaN, Infinity, ones([2]), 'x']) {
    assert.throws(() => scaler.update(scale as never), {
      name: 'TypeError',
      message: /^GradScaler.update: argument 'newScale' must be a number > 0 or a Tensor with one, got /,
    });
  }
  scaler.update(tensor(32));
  assert.equal(scaler.getScale(), 32);
  assert.throws(() => scaler.scale(3 as never), {
    message: "GradScaler.scale: argument 'outputs' must be a Tensor or an array of them, got 3",
  });
});

test('a network in float16 learns with it, and it keeps no memory', () => {
  manualSeed(1);
  const w = new Parameter(noGrad(() => randn([1, 8]).mul(0.1)));
  const target = randn([1, 8]);
  const optimizer = new SGD([w], { lr: 0.1 });
  const scaler = new GradScaler({ growthInterval: 5 });
  const losses: number[] = [];
  let tensors = 0;
  for (let step = 0; step < 60; step++) {
    tidy(() => {
      const x = randn([32, 8]);
      optimizer.zeroGrad();
      const loss = autocast({ dtype: 'float16' }, () => mseLoss(linear(x, w), linear(x, target).detach()));
      scaler.scale(loss).backward();
      scaler.step(optimizer);
      scaler.update();
      losses.push(loss.item() as number);
    });
    if (step === 1) tensors = memory().tensors;
  }
  assert.ok(losses[59]! < losses[0]! / 100, `${losses[0]} to ${losses[59]}`);
  assert.ok(memory().tensors <= tensors);
});
