import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tensor } from '../../lib/tensor/index.js';
import { ConfusionMatrix, losses, metric, metricNames } from '../../lib/training/index.js';
import { golden } from '../nn/helpers.js';

interface MetricCase {
  readonly name: string;
  readonly num_outputs: number;
  readonly preds: readonly (readonly number[])[];
  readonly target: readonly (readonly number[])[];
  readonly batches: readonly number[];
  readonly loss: { readonly crossentropy: number; readonly mse: number };
  readonly cm: readonly (readonly number[])[];
  readonly standard: Readonly<Record<'micro' | 'macro', Record<'prec' | 'rec' | 'f1' | 'acc', number>>>;
}

const { cases } = golden<{ cases: readonly MetricCase[] }>('metrics.json');

function classOf(oneHot: readonly number[]): number {
  return oneHot.indexOf(1);
}

test('the golden table has its cases', () => {
  assert.equal(cases.length, 13);
});

for (const { name, num_outputs: classes, preds, target, batches, loss, cm, standard } of cases) {
  test(`golden: ${name}`, () => {
    const matrix = new ConfusionMatrix(classes);
    let start = 0;
    for (const size of batches) {
      const outputs = tensor(preds.slice(start, start + size));
      const truth = target.slice(start, start + size).map(classOf);
      matrix.add(truth, outputs.argmax(1).toTypedArray() as BigInt64Array);
      start += size;
    }
    assert.equal(start, preds.length);
    assert.deepEqual(matrix.rows(), cm);
    const { micro, macro } = standard;
    const expected = { ...macro, acc: micro.acc, avgclsacc: macro.acc };
    for (const own of metricNames) {
      const value = metric(own, matrix);
      assert.ok(Math.abs(value - expected[own]) < 1e-6, `${own} is ${value}, expected ${expected[own]}`);
    }
    const targets = tensor(target.map((row) => BigInt(classOf(row))));
    for (const kind of ['crossentropy', 'mse'] as const) {
      const value = new (losses.find(kind, []))().compute(tensor(preds), targets).item() as number;
      assert.ok(Math.abs(value / loss[kind] - 1) < 1e-4, `${kind} is ${value}, expected ${loss[kind]}`);
    }
  });
}

test('macro averages differ from the accuracy where classes are uneven', () => {
  const matrix = new ConfusionMatrix(2);
  matrix.add([0, 0, 0, 1], [0, 0, 0, 0]);
  assert.deepEqual(
    metricNames.map((name) => metric(name, matrix)),
    [3 / 8, 1 / 2, 3 / 7, 3 / 4, 1 / 2],
  );
});
