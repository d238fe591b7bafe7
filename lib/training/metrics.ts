/** How often each true class (row) got each predicted class (column). */
export class ConfusionMatrix {
  readonly classes: number;
  readonly #counts: Float64Array;

  constructor(classes: number) {
    this.classes = classes;
    this.#counts = new Float64Array(classes * classes);
  }

  /** Adds samples: true and predicted class indices, both within the classes. */
  add(truth: ArrayLike<number>, predicted: ArrayLike<number | bigint>): void {
    for (let i = 0; i < truth.length; i++) {
      this.#counts[truth[i]! * this.classes + Number(predicted[i])]! += 1;
    }
  }

  /** Takes over what `rows` gave. */
  load(rows: readonly (readonly number[])[]): void {
    this.#counts.set(rows.flat());
  }

  /** The counts, a row for each true class. */
  rows(): number[][] {
    return Array.from({ length: this.classes }, (_, i) => [
      ...this.#counts.subarray(i * this.classes, (i + 1) * this.classes),
    ]);
  }

  /** For each class: samples of it, predictions of it, and those that are both. */
  counts(): ClassCounts[] {
    const rows = this.rows();
    return rows.map((row, i) => ({
      present: row.reduce((sum, count) => sum + count, 0),
      predicted: rows.reduce((sum, other) => sum + other[i]!, 0),
      correct: row[i]!,
    }));
  }
}

interface ClassCounts {
  readonly present: number;
  readonly predicted: number;
  readonly correct: number;
}

// 0 / 0 counts as 0.
function ratio(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}

// The mean over classes; a class that is neither present nor predicted says nothing and is left out.
function macro(matrix: ConfusionMatrix, of: (counts: ClassCounts) => number): number {
  const seen = matrix.counts().filter(({ present, predicted }) => present + predicted > 0);
  return ratio(
    seen.reduce((sum, counts) => sum + of(counts), 0),
    seen.length,
  );
}

function recall({ correct, present }: ClassCounts): number {
  return ratio(correct, present);
}

function accuracy(matrix: ConfusionMatrix): number {
  const counts = matrix.counts();
  const correct = counts.reduce((sum, own) => sum + own.correct, 0);
  return ratio(
    correct,
    counts.reduce((sum, own) => sum + own.present, 0),
  );
}

/**
 * `prec`, `rec`, `f1`: precision, recall and F1, each the mean over the classes; `acc`: share of samples with the
 * right class; `avgclsacc`: mean over the classes of the share of their samples that is right, the same as `rec`.
 */
export type MetricName = 'prec' | 'rec' | 'f1' | 'acc' | 'avgclsacc';

/** All, in the order of reports. */
export const metricNames: readonly [MetricName, ...MetricName[]] = ['prec', 'rec', 'f1', 'acc', 'avgclsacc'];

const definitions: Readonly<Record<MetricName, (matrix: ConfusionMatrix) => number>> = {
  prec: (matrix) => macro(matrix, ({ correct, predicted }) => ratio(correct, predicted)),
  rec: (matrix) => macro(matrix, recall),
  f1: (matrix) => macro(matrix, ({ correct, present, predicted }) => ratio(2 * correct, present + predicted)),
  acc: accuracy,
  avgclsacc: (matrix) => macro(matrix, recall),
};

/** A metric of the samples counted in `matrix`. */
export function metric(name: MetricName, matrix: ConfusionMatrix): number {
  return definitions[name](matrix);
}
