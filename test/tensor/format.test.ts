import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../lib/native/platform.js';
import { formatTensor } from '../../lib/tensor/format.js';
import type { TypedArray } from '../../lib/tensor/types.js';

interface Case {
  readonly name: string;
  readonly dtype: string;
  readonly shape: number[];
  /** Strings for what JSON cannot hold: NaN, infinities, -0, large integers. */
  readonly values: (number | string)[] | null;
  readonly device: string;
  readonly requiresGrad: boolean;
  readonly gradFn: string | null;
  readonly text: string;
}

const golden = JSON.parse(readFileSync(join(packageRoot(), 'test', 'golden', 'printing.json'), 'utf8')) as {
  source: string;
  cases: Case[];
};

function typedValues({ dtype, values }: Case): TypedArray | null {
  if (values === null) return null;
  if (dtype === 'int64') return BigInt64Array.from(values, BigInt);
  const numbers = values.map(Number);
  if (dtype === 'float64') return Float64Array.from(numbers);
  if (dtype === 'int32') return Int32Array.from(numbers);
  if (dtype === 'int16') return Int16Array.from(numbers);
  if (dtype === 'int8') return Int8Array.from(numbers);
  return dtype === 'uint8' || dtype === 'bool' ? Uint8Array.from(numbers) : Float32Array.from(numbers);
}

test('the golden table is whole', () => {
  assert.match(golden.source, /^torch 2\./);
  assert.equal(golden.cases.length, 71);
});

for (const entry of golden.cases) {
  test(`prints like PyTorch: ${entry.name}`, () => {
    assert.equal(formatTensor({ ...entry, values: typedValues(entry) }), entry.text);
  });
}

test('a CUDA device and a complex dtype are named', () => {
  const base = { shape: [2], requiresGrad: false, gradFn: null };
  const values = Float32Array.of(1, 2);
  assert.equal(
    formatTensor({ ...base, dtype: 'float32', device: 'cuda:1', values }),
    "tensor([1., 2.], device='cuda:1')",
  );
  assert.equal(
    formatTensor({ ...base, dtype: 'complex128', device: 'cpu', values: null }),
    'tensor(..., size=(2,), dtype=torch.complex128)',
  );
});
