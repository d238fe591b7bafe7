import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { oneOf, type ParameterTable, parameter, resolveParameters } from '../parameters.js';
import { DataError, type DataModel, type Dataset, type DatasetSource } from './dataset.js';
import { randomPermutation } from './random.js';

const samples = 1797;
const pixels = 64;
const trainSamples = 1437;
const shuffleSeed = 1234;

export interface DigitsOptions {
  /**
   * Which 1,437 samples are for training and which 360 for the test: 'shuffled' (default) takes them in a fixed random
   * order; 'ordered' as they come, so that the test has other writers than the training, which is harder.
   */
  readonly split?: 'shuffled' | 'ordered';
}

/**
 * 1,797 handwritten digits of 8x8 pixels, contained in the package; values 0..16 are scaled to 0..1. It is the test
 * half of "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak 1998, UCI Machine Learning
 * Repository, CC BY 4.0) in the form in which scikit-learn (BSD-3-Clause) ships it.
 */
export class Digits implements DatasetSource {
  static readonly parameters: ParameterTable = {
    split: parameter('split', oneOf(['shuffled', 'ordered']).default('shuffled')),
  };
  static readonly scale: number = 16;

  readonly split: 'shuffled' | 'ordered';

  /** @throws ConfigError */
  constructor(options: DigitsOptions = {}) {
    this.split = resolveParameters<Required<DigitsOptions>>(Digits.parameters, options).split;
  }

  async load(): Promise<DataModel> {
    const file = fileURLToPath(new URL('../../../data/digits.csv.gz', import.meta.url));
    const rows = gunzipSync(await readFile(file))
      .toString('latin1')
      .trimEnd()
      .split('\n');
    if (rows.length !== samples) throw new DataError(`${file}: expected ${samples} rows, got ${rows.length}`);
    const order =
      this.split === 'shuffled' ? randomPermutation(samples, shuffleSeed) : Int32Array.from(rows.keys());
    const part = (start: number, end: number): Dataset => {
      const x = new Float32Array((end - start) * pixels);
      const y = new Int32Array(end - start);
      order.subarray(start, end).forEach((sample, i) => {
        const values = rows[sample]!.split(',').map(Number);
        for (let p = 0; p < pixels; p++) x[i * pixels + p] = values[p]! / Digits.scale;
        y[i] = values[pixels]!;
      });
      return { x, y, shape: [8, 8, 1], classes: 10, length: end - start };
    };
    return { name: 'Digits', train: part(0, trainSamples), test: part(trainSamples, samples) };
  }
}
