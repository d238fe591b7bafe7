import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShapeError } from '../../lib/errors.js';
import { tensor } from '../../lib/tensor/index.js';
import {
  type Average,
  type ClassMetric,
  ConfusionMatrix,
  defaultMetrics,
  type ErrorMetric,
  ErrorSums,
  losses,
  metric,
  metricNames,
} from '../../lib/training/index.js';
import { golden } from '../nn/helpers.js';
import { randomNumbers } from '../tensor/helpers.js';

type Real = number | 'NaN';
type Rates = Readonly<Record<'prec' | 'rec' | 'f1' | 'acc', number | readonly number[]>>;

interface MetricCase {
  readonly name: string;
  readonly num_outputs: number;
  readonly preds: readonly (readonly number[])[];
  readonly target: readonly (readonly number[])[];
  readonly batches: readonly number[];
  readonly original: Readonly<Partial<Record<string, Real | readonly Real[] | 'Infinity'>>>;
  readonly expected_slope?: number;
  readonly loss?: { readonly crossentropy: number; readonly mse: number };
  readonly cm?: readonly (readonly number[])[];
  readonly ncm?: readonly (readonly Real[])[];
  readonly avg_class_accuracy?: Real;
  readonly standard?: Readonly<Record<Average, Rates>>;
}

const { cases } = golden<{ cases: readonly MetricCase[] }>('metrics.json');
const errorNames = ['mse', 'mae', 'mape', 'corr', 'slope'] as const;

function classOf(oneHot: readonly number[]): number {
  return oneHot.indexOf(1);
}

function assertNear(got: unknown, expected: unknown, absolute: number, relative: number, what: string): void {
  const [a, b] = [got, expected].map((value) => [value].flat(3).map(Number)) as [number[], number[]];
  assert.equal(a.length, b.length, what);
  const isNear = (x: number, y: number): boolean =>
    Object.is(x, y) || Math.abs(x - y) <= absolute + relative * Math.abs(y);
  assert.ok(
    a.every((x, i) => isNear(x, b[i]!)),
    `${what} is ${a}, expected ${b}`,
  );
}

function inBatches(entry: MetricCase, add: (outputs: number[][], targets: number[][]) => void): void {
  let start = 0;
  for (const size of entry.batches) {
    const part = <T>(rows: readonly (readonly T[])[]): T[][] =>
      rows.slice(start, start + size).map((row) => [...row]);
    add(part(entry.preds), part(entry.target));
    start += size;
  }
  assert.equal(start, entry.preds.length);
}

test('the golden table has its cases', () => {
  assert.equal(cases.length, 16);
  assert.equal(cases.filter(({ standard }) => standard).length, 13);
  assert.equal(cases.filter(({ original }) => 'slope' in original).length, 4);
});

for (const entry of cases) {
  const { name, num_outputs: outputs, preds, target, loss, standard, original } = entry;
  if (standard) {
    test(`golden, classes: ${name}`, () => {
      const matrix = new ConfusionMatrix(outputs);
      inBatches(entry, (own, truth) => {
        matrix.add(truth.map(classOf), tensor(own).argmax(1).toTypedArray() as BigInt64Array);
      });
      assert.deepEqual(matrix.rows(), entry.cm);
      assertNear(matrix.normalized(), entry.ncm, 1e-9, 0, 'ncm');
      assertNear(matrix.averageClassAccuracy(), entry.avg_class_accuracy, 1e-9, 0, 'avg_class_accuracy');
      for (const [average, rates] of Object.entries(standard)) {
        for (const [own, expected] of Object.entries(rates)) {
          const got = metric(own as ClassMetric, matrix, average as 'micro');
          assertNear(got, expected, 1e-6, 0, `${own} ${average}`);
        }
      }
      const { micro, macro } = standard;
      for (const own of defaultMetrics) {
        const expected = { ...macro, acc: micro.acc, avgclsacc: macro.acc }[own];
        assertNear(metric(own, matrix), expected, 1e-6, 0, own);
      }
      if ('avgclsacc' in original) {
        assertNear(metric('avgclsacc', matrix), original['avgclsacc'], 1e-6, 0, 'avgclsacc');
        assertNear(metric('acc', matrix), original['acc'], 1e-6, 0, 'acc');
      }
    });
  }

  if (loss) {
    test(`golden, losses: ${name}`, () => {
      const targets = tensor(target.map((row) => BigInt(classOf(row))));
      for (const kind of ['crossentropy', 'mse'] as const) {
        const value = new (losses.find(kind, []))().compute(tensor(preds), targets).item();
        assertNear(value, loss[kind], 0, 1e-4, kind);
      }
    });
  }

  const errors = errorNames.filter((own) => own in original);
  if (errors.length > 0) {
    test(`golden, errors: ${name}`, () => {
      const sums = new ErrorSums(outputs);
      inBatches(entry, (own, truth) => sums.add(Float32Array.from(own.flat()), truth.flat()));
      for (const own of errors) {
        const expected = own === 'slope' ? (entry.expected_slope ?? original[own]) : original[own];
        assertNear(sums.metric(own as 'mse'), expected, 0, 1e-4, own);
      }
    });
  }
}

test('macro averages differ from the accuracy where classes are uneven', () => {
  const matrix = new ConfusionMatrix(2);
  matrix.add([0, 0, 0, 1], [0, 0, 0, 0]);
  assert.deepEqual(
    defaultMetrics.map((name) => metric(name, matrix)),
    [3 / 8, 1 / 2, 3 / 7, 3 / 4, 1 / 2],
  );
  assert.deepEqual(
    defaultMetrics.map((name) => metric(name, matrix, 'weighted')),
    [9 / 16, 3 / 4, ((6 / 7) * 3) / 4, 3 / 4, 3 / 4],
  );
});

test('one class, one sample, no samples', () => {
  const one = new ConfusionMatrix(1);
  assert.deepEqual(
    defaultMetrics.map((name) => metric(name, one)),
    [0, 0, 0, 0, 0],
  );
  assert.deepEqual([one.normalized(), one.averageClassAccuracy()], [[[Number.NaN]], Number.NaN]);
  one.add([0], [0n]);
  assert.deepEqual(
    defaultMetrics.map((name) => metric(name, one)),
    [1, 1, 1, 1, 1],
  );
  const many = new ConfusionMatrix(4);
  many.add([2], [1]);
  assert.deepEqual(metric('rec', many, 'none'), [0, 0, 0, 0]);
  many.add([1], [1]);
  // Classes 0 and 3 are left out: the mean is of 1 (class 1) and 0 (class 2).
  assert.deepEqual([metric('avgclsacc', many), metric('prec', many)], [1 / 2, 1 / 4]);
  assert.ok(Number.isNaN(many.averageClassAccuracy()));
});

test('a NaN output is the largest, the first of equals wins, as in PyTorch', () => {
  const outputs = tensor([
    [1, Number.NaN, 2, Number.NaN],
    [Number.POSITIVE_INFINITY, 1, Number.POSITIVE_INFINITY, 0],
    [0, 0, 0, 0],
  ]);
  assert.deepEqual(outputs.argmax(1).tolist(), [1, 0, 0]);
});

test('errors: constant targets, constant outputs, one sample, NaN', () => {
  const of = (outputs: number[], targets: number[], each: number = 1): unknown[] => {
    const sums = new ErrorSums(each);
    sums.add(outputs, targets);
    return errorNames.map((name) => sums.metric(name as 'mse'));
  };
  const { NaN: nan } = Number;
  assert.deepEqual(of([1, 2], [4, 4]), [6.5, 2.5, 0.625, [nan], nan]);
  assert.deepEqual(of([0.1, 0.1, 0.1], [1, 2, 3]).slice(3), [[nan], 0]);
  assert.deepEqual(of([3], [1]), [4, 2, 2, [nan], nan]);
  assert.deepEqual(of([2, 4, 6], [1, 2, 3]).slice(3), [[1], 2]);
  assert.deepEqual(of([-1, -2], [1, 2]).slice(3), [[-1], -1]);
  assert.deepEqual(of([nan, 1], [1, 2]), [nan, nan, nan, [nan], nan]);
  assert.deepEqual(of([nan, 1, 2, 3], [1, 1, 2, 2], 2)[3], [nan, 1]);
  assert.deepEqual(of([0], [0])[2], 0);
  assert.deepEqual(
    errorNames.map((name) => new ErrorSums(2).metric(name as 'mse')),
    [nan, nan, nan, [nan, nan], nan],
  );
});

test('a large mean takes no digits from correlation and slope', () => {
  const sums = new ErrorSums(1);
  const targets = Array.from({ length: 1000 }, (_, i) => 1e9 + (i % 7));
  sums.add(
    targets.map((value) => 3e9 + 2 * (value - 1e9)),
    targets,
  );
  // Sums of squares would be off by more than all that they should have.
  assertNear(sums.metric('slope'), 2, 1e-8, 0, 'slope');
  assertNear(sums.metric('corr'), [1], 1e-8, 0, 'corr');
});

test('how samples are cut into batches changes no bit, and a state goes on where it was', () => {
  const random = randomNumbers(11);
  const outputs = Float32Array.from({ length: 3 * 97 }, () => 4 * random() - 2);
  const targets = Float64Array.from({ length: 3 * 97 }, () => random());
  const truth = Array.from({ length: 97 }, () => Math.floor(3 * random()));
  const predicted = truth.map((label) => (random() < 0.5 ? label : 2));
  const all = (size: number, restarts: boolean): unknown => {
    let [sums, matrix] = [new ErrorSums(3), new ConfusionMatrix(3)];
    for (let start = 0; start < 97; start += size) {
      sums.add(
        outputs.subarray(3 * start, 3 * (start + size)),
        targets.subarray(3 * start, 3 * (start + size)),
      );
      matrix.add(truth.slice(start, start + size), predicted.slice(start, start + size));
      if (!restarts) continue;
      const [own, counts] = JSON.parse(JSON.stringify([sums.stateDict(), matrix.stateDict()])) as [
        number[],
        number[],
      ];
      [sums, matrix] = [new ErrorSums(3), new ConfusionMatrix(3)];
      sums.loadStateDict(own);
      matrix.loadStateDict(counts);
    }
    return metricNames.map((name) =>
      errorNames.includes(name as ErrorMetric)
        ? sums.metric(name as 'mse')
        : metric(name as ClassMetric, matrix),
    );
  };
  const whole = all(97, false);
  for (const size of [1, 2, 32, 96]) {
    assert.deepEqual(all(size, false), whole);
    assert.deepEqual(all(size, true), whole);
  }
});

test('what does not fit is an error, and nothing is counted', () => {
  const matrix = new ConfusionMatrix(3);
  for (const [truth, predicted, message] of [
    [[0, 3], [0, 0], /'truth' must have classes from 0 to 2, got 3/],
    [[0, 1], [0, -1], /'predicted' must have classes from 0 to 2, got -1/],
    [[0.5], [0], /got 0.5/],
    [[0, 1], [0], /as many predictions as samples, got 1 and 2/],
  ] as const) {
    assert.throws(
      () => matrix.add(truth, predicted),
      (error: unknown) => error instanceof ShapeError && message.test(error.message),
    );
  }
  assert.deepEqual(matrix.stateDict(), [0, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.throws(() => matrix.loadStateDict([1]), /expected a state of 9 numbers, got 1/);
  const sums = new ErrorSums(2);
  assert.throws(() => sums.add([1, 2], [1]), /2 a sample, got 1 and 2/);
  assert.throws(() => sums.add([1, 2, 3], [1, 2, 3]), ShapeError);
  assert.throws(() => sums.loadStateDict([]), /expected a state of 22 numbers, got 0/);
});
