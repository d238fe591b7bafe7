import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError } from '../../lib/errors.js';
import { Parameter } from '../../lib/nn/index.js';
import { ones, type Tensor, tensor } from '../../lib/tensor/index.js';
import {
  Adam,
  AdamW,
  ASGD,
  loadSafetensors,
  type Optimizer,
  optimizers,
  SGD,
  saveSafetensors,
} from '../../lib/training/index.js';
import { shaped } from '../nn/helpers.js';
import { randomNumbers } from '../tensor/helpers.js';
import { fullOptions, leaf, numbers } from './optimizer-cases.js';

const gradients = [
  [1, -2],
  [0.5, 3],
  [-1, 0.25],
  [2, 2],
];

function advance(optimizer: Optimizer, parameter: Parameter, steps: readonly (readonly number[])[]): void {
  for (const values of steps) {
    parameter.grad = tensor([...values], { dtype: 'float64' });
    optimizer.step();
  }
}

test('a state dictionary has the names of PyTorch, and a run that goes on from it is the same', () => {
  const kinds = [
    { make: SGD, options: { momentum: 0.9 }, names: ['momentum_buffer'] },
    { make: Adam, options: { amsgrad: true }, names: ['step', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq'] },
    { make: AdamW, options: {}, names: ['step', 'exp_avg', 'exp_avg_sq'] },
  ];
  for (const { make, options, names } of kinds) {
    const [whole, first] = [leaf([1, 2]), leaf([1, 2])];
    advance(new make([whole], { ...options, lr: 0.1 }), whole, gradients);
    const before = new make([first], { ...options, lr: 0.1 });
    advance(before, first, gradients.slice(0, 2));
    const saved = before.stateDict();
    assert.deepEqual(Object.keys(saved.state['0']!), names);
    assert.deepEqual(saved.param_groups[0]!.params, [0]);
    assert.equal(saved.param_groups[0]!['weight_decay'], make === AdamW ? 0.01 : 0);

    const second = new Parameter(first.detach().clone());
    const after = new make([second], { ...options, lr: 7 });
    // What PyTorch's own dictionaries have besides.
    const torch = { ...saved.param_groups[0], foreach: null, fused: true, params: [0] };
    after.loadStateDict({ ...saved, param_groups: [torch] });
    before.dispose();
    advance(after, second, gradients.slice(2));
    assert.deepEqual(numbers(second), numbers(whole), make.name);
  }
});

test('a state dictionary that does not fit changes nothing', () => {
  const [a, b] = [leaf([1, 2]), leaf([1, 2, 3])];
  const optimizer = new Adam([a], { lr: 0.1 });
  advance(optimizer, a, gradients.slice(0, 1));
  const other = new Adam([b], { lr: 0.5 });
  assert.throws(() => other.loadStateDict(optimizer.stateDict()), { code: 'ERR_SPIKENODE_SHAPE' });
  const groups = optimizer.stateDict().param_groups;
  assert.throws(() => other.loadStateDict({ state: {}, param_groups: [...groups, ...groups] }), /groups of/);
  assert.throws(
    () => other.loadStateDict({ state: {}, param_groups: [{ ...groups[0]!, lr: 'fast' }] }),
    (error: unknown) => error instanceof ConfigError && error.path.join('.') === 'param_groups.0.lr',
  );
  assert.equal(other.paramGroups[0]!.lr, 0.5);
  assert.deepEqual(other.stateDict().state, {});
});

for (const kind of optimizers.names()) {
  test(`${kind} goes on from its state with the same bits, through safetensors and JSON`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'spikenode-'));
    try {
      for (const dtype of ['float32', 'float64', 'bfloat16'] as const) {
        const next = randomNumbers(3);
        const steps = Array.from({ length: 14 }, () => Array.from({ length: 6 }, () => next() - 0.5));
        const make = (values: Tensor): { parameter: Parameter; optimizer: Optimizer } => {
          const parameter = new Parameter(values);
          return {
            parameter,
            optimizer: new (optimizers.find(kind, []))([parameter], { lr: 0.1, ...fullOptions[kind] }),
          };
        };
        const run = ({ parameter, optimizer }: ReturnType<typeof make>, from: number, to: number): void => {
          for (const values of steps.slice(from, to)) {
            parameter.grad = shaped(values, [2, 3], dtype);
            optimizer.step();
          }
        };
        const start = shaped([1, -2, 3, -0.4, 0.5, 6], [2, 3], dtype);
        const whole = make(start.clone());
        const first = make(start.clone());
        run(whole, 0, 14);
        run(first, 0, 6);
        const { state, param_groups } = first.optimizer.stateDict();
        const file = join(folder, 'state.safetensors');
        await saveSafetensors(file, { ...state['0'] });
        const loaded = await loadSafetensors(file);
        const own = loaded instanceof Map ? Object.fromEntries(loaded) : loaded;
        const second = make(first.parameter.detach().clone());
        second.optimizer.loadStateDict({
          state: { 0: own as Record<string, Tensor> },
          param_groups: JSON.parse(JSON.stringify(param_groups)) as typeof param_groups,
        });
        run(second, 6, 14);
        assert.ok(
          second.parameter.equal(whole.parameter),
          `${dtype}: ${second.parameter} ${whole.parameter}`,
        );
        assert.ok(!whole.parameter.equal(first.parameter));
        const [a, b] = [whole, second].map(({ optimizer }) => optimizer.stateDict().state['0']!);
        for (const [name, values] of Object.entries(a!)) assert.ok(values.equal(b![name]!), name);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test('states that do not fit are told by name', () => {
  const parameter = leaf([1, 2]);
  const optimizer = new ASGD([parameter]);
  advance(optimizer, parameter, gradients);
  const { state, param_groups } = optimizer.stateDict();
  const { ax, ...rest } = state['0']!;
  const load = (own: object): void =>
    optimizer.loadStateDict({ state: { 0: own as Record<string, Tensor> }, param_groups });
  assert.throws(() => load(rest), {
    code: 'ERR_SPIKENODE_TYPE',
    message: "ASGD.loadStateDict: the state of parameter 0: argument 'ax' must be a Tensor, got undefined",
  });
  assert.throws(() => load({ ...rest, ax: 3 }), /argument 'ax' must be a Tensor, got 3/);
  assert.throws(() => load({ ...rest, ax: ones([3]) }), {
    code: 'ERR_SPIKENODE_SHAPE',
    message: "ASGD.loadStateDict: the state of parameter 0: 'ax' has shape [3], expected [2]",
  });
  assert.throws(() => load({ ...rest, ax, eta: ones([2]) }), /'eta' has shape \[2\], expected one element/);
  load({ ...rest, ax });
  // A momentum that PyTorch has not begun.
  const sgd = new SGD([parameter], { momentum: 0.9 });
  const saved = sgd.stateDict().param_groups;
  sgd.loadStateDict({ state: { 0: { momentum_buffer: null as unknown as Tensor } }, param_groups: saved });
  assert.deepEqual(sgd.stateDict().state, {});
});

test("groups that PyTorch's schedulers have written to, and rates below zero, can be loaded", () => {
  const optimizer = new SGD([leaf([1])], { momentum: 0.5 });
  const [group] = optimizer.stateDict().param_groups;
  const written = {
    ...group!,
    lr: -0.5,
    initial_lr: 0.1,
    max_lr: 1,
    min_lr: 0,
    max_momentum: 0.9,
    base_momentum: 0.8,
  };
  optimizer.loadStateDict({
    state: {},
    param_groups: [{ ...written, foreach: null, capturable: true, differentiable: true }],
  });
  assert.deepEqual([optimizer.paramGroups[0]!.lr, optimizer.paramGroups[0]!.initialLr], [-0.5, 0.1]);
});
