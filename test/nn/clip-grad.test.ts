import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clipGradNorm, clipGradValue, Parameter } from '../../lib/nn/index.js';
import { type DType, memory, ones, tensor, tidy, zeros } from '../../lib/tensor/index.js';
import { difference, golden, shaped } from './helpers.js';

interface ClipCase {
  readonly max: number;
  /** Null: by value. */
  readonly norm_type: number | 'Infinity' | null;
  readonly dtypes: readonly DType[];
  readonly grads: readonly (readonly number[])[];
  readonly total: number | null;
  readonly result: readonly (readonly number[])[];
}

const cases = golden<{ clips: ClipCase[] }>('optim.json').clips;

for (const [index, { max, norm_type, dtypes, grads, total, result }] of cases.entries()) {
  test(`golden ${index}: ${norm_type === null ? 'value' : `norm ${norm_type}`} ${max} ${dtypes}`, () => {
    const parameters = grads.map((values, i) => {
      const parameter = new Parameter(zeros([values.length], { dtype: dtypes[i]! }));
      parameter.grad = shaped(values, [values.length], dtypes[i]!);
      return parameter;
    });
    const limit = dtypes.includes('bfloat16') ? 2 ** -8 : dtypes.includes('float32') ? 1e-6 : 1e-12;
    if (norm_type === null) clipGradValue(parameters, max);
    else {
      const found = clipGradNorm(parameters, max, { normType: Number(norm_type) });
      assert.deepEqual(found.shape, []);
      assert.ok(difference(found, [total!]) <= limit, `${found} ${total}`);
    }
    for (const [i, parameter] of parameters.entries()) {
      const worst = difference(parameter.grad, result[i]!);
      assert.ok(worst <= limit, `tensor ${i}: ${worst}`);
    }
  });
}

test('parameters without gradients do not count; one Tensor may stand alone; nothing is left behind', () => {
  const [a, b] = [new Parameter(zeros([2])), new Parameter(zeros([2]))];
  assert.equal(clipGradNorm([a, b], 1).item(), 0);
  a.grad = tidy(() => tensor([3, 4]));
  const before = memory().tensors;
  tidy(() => {
    assert.equal(clipGradNorm([a, b], Number.POSITIVE_INFINITY).item(), 5);
    assert.equal(clipGradNorm(a, 0.5).item(), 5);
    clipGradValue(new Set([a, b]), 0.35);
    clipGradValue(a, 0.35);
  });
  assert.equal(memory().tensors, before);
  const values = a.grad!.tolist() as number[];
  assert.ok(Math.abs(values[0]! - 0.3) < 1e-6);
  assert.ok(Math.abs(values[1]! - 0.35) < 1e-6);
  assert.equal(b.grad, null);
});

test('a norm that is not finite is an error on request, and leaves the gradients', () => {
  const parameter = new Parameter(zeros([2]));
  parameter.grad = tensor([Number.NaN, 1]);
  assert.throws(() => clipGradNorm([parameter], 1, { errorIfNonfinite: true }), {
    code: 'ERR_SPIKENODE_TORCH',
    message: /^clipGradNorm: the norm of order 2 of all gradients is NaN, so they cannot be clipped/,
  });
  assert.deepEqual((parameter.grad!.tolist() as number[])[1], 1);
  assert.ok(Number.isNaN(clipGradNorm([parameter], 1).item()));
});

test('wrong arguments are TypeErrors with their names', () => {
  const parameter = new Parameter(ones([2]));
  const wrong = (call: () => unknown, message: string): void =>
    assert.throws(call, { code: 'ERR_SPIKENODE_TYPE', message });
  wrong(
    () => clipGradNorm([parameter], -1),
    "clipGradNorm: argument 'maxNorm' must be a number >= 0, got -1",
  );
  wrong(
    () => clipGradNorm([parameter], 1, { normType: 'inf' as never }),
    'clipGradNorm: argument \'normType\' must be a number, got "inf"',
  );
  wrong(
    () => clipGradNorm([parameter], 1, { errorIfNonfinite: 1 as never }),
    "clipGradNorm: argument 'errorIfNonfinite' must be true or false, got 1",
  );
  wrong(
    () => clipGradNorm(3 as never, 1),
    "clipGradNorm: argument 'parameters' must be a Tensor or an iterable of them, got 3",
  );
  wrong(
    () => clipGradValue([parameter, undefined] as never, 1),
    "clipGradValue: argument 'parameters' must be Tensors, got undefined",
  );
  wrong(
    () => clipGradValue([parameter], Number.NaN),
    "clipGradValue: argument 'clipValue' must be a number >= 0, got NaN",
  );
  assert.throws(() => clipGradNorm([parameter], 1, { foreach: true } as never), /normType, errorIfNonfinite/);
});
