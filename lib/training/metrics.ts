import { ShapeError } from '../errors.js';
import { argumentError } from '../tensor/operator.js';

/** How often each true class (row) got each predicted class (column). */
export class ConfusionMatrix {
  /** Number of classes. */
  readonly classes: number;
  readonly #counts: Float64Array;

  constructor(classes: number) {
    this.classes = classes;
    this.#counts = new Float64Array(classes * classes);
  }

  /**
   * Adds samples.
   * @param truth true class indices
   * @param predicted class indices, as many
   * @throws ShapeError for lists of two lengths and for what is no class; nothing is added then
   */
  add(truth: ArrayLike<number | bigint>, predicted: ArrayLike<number | bigint>): void {
    if (truth.length !== predicted.length) {
      throw new ShapeError(
        `ConfusionMatrix: expected as many predictions as samples, got ${predicted.length} and ${truth.length}`,
      );
    }
    const cells = Float64Array.from(truth, (label, i) => {
      return this.#classOf(label, 'truth') * this.classes + this.#classOf(predicted[i]!, 'predicted');
    });
    for (const cell of cells) this.#counts[cell]! += 1;
  }

  #classOf(label: number | bigint, name: string): number {
    const index = Number(label);
    if (Number.isInteger(index) && index >= 0 && index < this.classes) return index;
    throw new ShapeError(
      `ConfusionMatrix: argument '${name}' must have classes from 0 to ${this.classes - 1}, got ${label}`,
    );
  }

  /** The counts, a row for each true class. */
  rows(): number[][] {
    return Array.from({ length: this.classes }, (_, i) => [
      ...this.#counts.subarray(i * this.classes, (i + 1) * this.classes),
    ]);
  }

  /** Each row divided by its sum, so that the diagonal has the recalls; NaN for a class without samples. */
  normalized(): number[][] {
    return this.rows().map((row) => {
      const present = sum(row);
      return row.map((count) => count / present);
    });
  }

  /** The mean of the normalised diagonal: NaN if a class has no samples, where `avgclsacc` leaves it out or counts 0. */
  averageClassAccuracy(): number {
    return sum(this.normalized().map((row, i) => row[i]!)) / this.classes;
  }

  /** For each class: samples of it, predictions of it, and those that are both. */
  counts(): ClassCounts[] {
    const rows = this.rows();
    return rows.map((row, i) => ({
      present: sum(row),
      predicted: sum(rows.map((other) => other[i]!)),
      correct: row[i]!,
    }));
  }

  /** All that was counted, row-major. */
  stateDict(): number[] {
    return [...this.#counts];
  }

  /** Goes on from there. @throws ShapeError for the state of a matrix of another size */
  loadStateDict(state: readonly number[]): void {
    loadInto(this.#counts, state, 'ConfusionMatrix');
  }
}

/** Samples of a class, predictions of it, and those that are both. */
export interface ClassCounts {
  /** Samples of the class. */
  readonly present: number;
  /** Predictions of the class. */
  readonly predicted: number;
  /** Samples of the class that were predicted so. */
  readonly correct: number;
}

/**
 * How the values of the classes become one. `micro` counts all samples alike; `macro` is the mean over the classes that
 * are present or predicted (one that is neither says nothing); `weighted` is the mean weighted by the samples of each
 * class; `none` leaves a value for each class.
 */
export type Average = 'micro' | 'macro' | 'weighted' | 'none';

/**
 * `prec`, `rec`, `f1`: precision, recall and F1, by default the mean over the classes; `acc`: share of samples with
 * the right class; `avgclsacc`: mean over the classes of the share of their samples that is right, the same as `rec`.
 */
export type ClassMetric = 'prec' | 'rec' | 'f1' | 'acc' | 'avgclsacc';

/**
 * Of outputs and targets as numbers, the targets of a classification being 1 for the class and 0 for the others:
 * `mse`, `mae`: mean squared and mean absolute error; `mape`: mean absolute error relative to the target's size (which
 * counts as 1.17e-6 at least); `corr`: Pearson's correlation, of each output; `slope`: covariance with the targets
 * by the variance of the targets, of all outputs as one series.
 */
export type ErrorMetric = 'mse' | 'mae' | 'mape' | 'corr' | 'slope';

/** The name of a metric, as configurations and reports have it. */
export type MetricName = ClassMetric | ErrorMetric;

/** What is measured unless told otherwise, in the order of reports. */
export const defaultMetrics: readonly [ClassMetric, ...ClassMetric[]] = [
  'prec',
  'rec',
  'f1',
  'acc',
  'avgclsacc',
];

const errorMetrics: readonly ErrorMetric[] = ['mse', 'mae', 'mape', 'corr', 'slope'];

/** All metrics. */
export const metricNames: readonly [MetricName, ...MetricName[]] = [...defaultMetrics, ...errorMetrics];

/** Whether a metric is of outputs as numbers, not of classes. */
export function isErrorMetric(name: MetricName): name is ErrorMetric {
  return errorMetrics.includes(name as ErrorMetric);
}

// 0 / 0 counts as 0: nothing was predicted, so nothing was right.
function ratio(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function recall({ correct, present }: ClassCounts): number {
  return ratio(correct, present);
}

interface Definition {
  readonly average: Average;
  readonly of: (counts: ClassCounts) => number;
}

const definitions: Readonly<Record<ClassMetric, Definition>> = {
  prec: { average: 'macro', of: ({ correct, predicted }) => ratio(correct, predicted) },
  rec: { average: 'macro', of: recall },
  f1: { average: 'macro', of: ({ correct, present, predicted }) => ratio(2 * correct, present + predicted) },
  acc: { average: 'micro', of: recall },
  avgclsacc: { average: 'macro', of: recall },
};

/**
 * A metric of the samples counted in `matrix`. A class that is missing where it would be divided by has 0; no samples
 * give 0.
 * @param average default: that of the metric
 */
export function metric(name: ClassMetric, matrix: ConfusionMatrix, average: 'none'): number[];
export function metric(
  name: ClassMetric,
  matrix: ConfusionMatrix,
  average?: Exclude<Average, 'none'>,
): number;
export function metric(name: ClassMetric, matrix: ConfusionMatrix, average?: Average): number | number[] {
  const { average: usual, of } = definitions[name];
  const counts = matrix.counts();
  switch (average ?? usual) {
    case 'none':
      return counts.map(of);
    case 'micro': {
      const total = (key: keyof ClassCounts): number => sum(counts.map((own) => own[key]));
      return of({ present: total('present'), predicted: total('predicted'), correct: total('correct') });
    }
    case 'macro': {
      const seen = counts.filter(({ present, predicted }) => present + predicted > 0);
      return ratio(sum(seen.map(of)), seen.length);
    }
    case 'weighted': {
      const weighted = counts.map((own) => own.present * of(own));
      return ratio(sum(weighted), sum(counts.map(({ present }) => present)));
    }
    default:
      throw argumentError('metric', 'average', 'one of micro, macro, weighted, none', average);
  }
}

// Targets nearer to 0 than that are taken for that in mape.
const smallestTarget = 1.17e-6;

// A running mean of two series with the sums of squared and mixed deviations from it (Welford 1962): sums of squares
// would lose all digits where the mean is large beside the deviations.
class Moments {
  // Count, means of outputs and targets, sums of squared deviations of both, sum of mixed deviations.
  readonly values: Float64Array = new Float64Array(6);

  add(output: number, target: number): void {
    const [count, outputs, targets] = this.values as unknown as readonly [number, number, number];
    const ofOutput = output - outputs;
    const ofTarget = target - targets;
    this.values[0] = count + 1;
    this.values[1] = outputs + ofOutput / (count + 1);
    this.values[2] = targets + ofTarget / (count + 1);
    this.values[3]! += ofOutput * (output - this.values[1]);
    this.values[4]! += ofTarget * (target - this.values[2]);
    this.values[5]! += ofOutput * (target - this.values[2]);
  }

  get correlation(): number {
    const [, , , outputs, targets, mixed] = this.values;
    // Rounding may leave a hair more than 1.
    return Math.min(1, Math.max(-1, mixed! / Math.sqrt(outputs! * targets!)));
  }

  get slope(): number {
    return this.values[5]! / this.values[4]!;
  }
}

/**
 * Errors of outputs against targets, added up in float64, sample by sample: how the samples are cut into batches changes
 * no bit. NaN in what is added makes the metrics NaN.
 */
export class ErrorSums {
  /** Outputs of a sample. */
  readonly outputs: number;
  // Count of values, sums of squared, absolute and relative errors.
  readonly #sums: Float64Array = new Float64Array(4);
  readonly #series: Moments = new Moments();
  readonly #ofEach: readonly Moments[];

  /** @param outputs of a sample */
  constructor(outputs: number) {
    this.outputs = outputs;
    this.#ofEach = Array.from({ length: outputs }, () => new Moments());
  }

  /**
   * Adds samples.
   * @param outputs `[N, outputs]`, row-major
   * @param targets the same
   * @throws ShapeError for lists of two lengths, or that are no whole number of samples
   */
  add(outputs: ArrayLike<number>, targets: ArrayLike<number>): void {
    if (outputs.length !== targets.length || outputs.length % this.outputs !== 0) {
      throw new ShapeError(
        `ErrorSums: expected as many targets as outputs, ${this.outputs} a sample, got ${targets.length} and ${outputs.length}`,
      );
    }
    const sums = this.#sums;
    for (let i = 0; i < outputs.length; i++) {
      const output = outputs[i]!;
      const target = targets[i]!;
      const error = Math.abs(output - target);
      sums[0]! += 1;
      sums[1]! += error * error;
      sums[2]! += error;
      sums[3]! += error / Math.max(Math.abs(target), smallestTarget);
      this.#series.add(output, target);
      this.#ofEach[i % this.outputs]!.add(output, target);
    }
  }

  /** A metric; NaN where there are no samples, or no deviations to divide by. `corr` has a value for each output. */
  metric(name: 'corr'): number[];
  metric(name: Exclude<ErrorMetric, 'corr'>): number;
  metric(name: ErrorMetric): number | number[] {
    const [count, squared, absolute, relative] = this.#sums;
    switch (name) {
      case 'mse':
        return squared! / count!;
      case 'mae':
        return absolute! / count!;
      case 'mape':
        return relative! / count!;
      case 'corr':
        return this.#ofEach.map((own) => own.correlation);
      case 'slope':
        return this.#series.slope;
    }
  }

  /** All sums. */
  stateDict(): number[] {
    return [...this.#sums, ...[this.#series, ...this.#ofEach].flatMap(({ values }) => [...values])];
  }

  /** Goes on from there. @throws ShapeError for the state of another number of outputs */
  loadStateDict(state: readonly number[]): void {
    const parts = [this.#sums, this.#series.values, ...this.#ofEach.map(({ values }) => values)];
    const length = sum(parts.map((part) => part.length));
    if (state.length !== length) throw stateError('ErrorSums', length, state.length);
    let start = 0;
    for (const part of parts) {
      loadInto(part, state.slice(start, start + part.length), 'ErrorSums');
      start += part.length;
    }
  }
}

function loadInto(values: Float64Array, state: readonly number[], name: string): void {
  if (state.length !== values.length) throw stateError(name, values.length, state.length);
  values.set(state);
}

function stateError(name: string, expected: number, got: number): ShapeError {
  return new ShapeError(`${name}.loadStateDict: expected a state of ${expected} numbers, got ${got}`);
}
