import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { oneOf, type ParameterTable, parameter, resolveParameters, shown } from '../parameters.js';
import { DataError, type DataModel, type Dataset, type DatasetSource, reasonOf } from './dataset.js';
import { randomPermutation } from './random.js';

const samples = 1797;
const pixels = 64;
const classes = 10;
const trainSamples = 1437;
const shuffleSeed = 1234;

/** Options of `Digits`. */
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

  /** As in the options. */
  readonly split: 'shuffled' | 'ordered';

  /** @throws ConfigError */
  constructor(options: DigitsOptions = {}) {
    this.split = resolveParameters<Required<DigitsOptions>>(Digits.parameters, options).split;
  }

  async load(): Promise<DataModel> {
    const file = fileURLToPath(new URL('../../../data/digits.csv.gz', import.meta.url));
    const { x, y } = parseDigits(await readFile(file), file, samples);
    const order =
      this.split === 'shuffled' ? randomPermutation(samples, shuffleSeed) : Int32Array.from(y.keys());
    const part = (start: number, end: number): Dataset => {
      const own = { x: new Float32Array((end - start) * pixels), y: new Int32Array(end - start) };
      order.subarray(start, end).forEach((sample, i) => {
        own.x.set(x.subarray(sample * pixels, (sample + 1) * pixels), i * pixels);
        own.y[i] = y[sample]!;
      });
      return { ...own, shape: [8, 8, 1], classes, length: end - start };
    };
    return { name: 'Digits', train: part(0, trainSamples), test: part(trainSamples, samples) };
  }
}

/**
 * Samples in the form of the embedded file: gzip-compressed text, a row of 64 pixels 0..16 and the class for each.
 * @param name for messages
 * @param rows how many there must be
 * @returns pixels, scaled to 0..1, and classes
 * @throws DataError
 */
export function parseDigits(
  compressed: Uint8Array,
  name: string,
  rows: number,
): { readonly x: Float32Array; readonly y: Int32Array } {
  const lines = unpacked(compressed, name, rows).trimEnd().split('\n');
  if (lines.length !== rows) throw new DataError(`${name}: expected ${rows} rows, got ${lines.length}`);
  const x = new Float32Array(rows * pixels);
  const y = new Int32Array(rows);
  for (const [i, line] of lines.entries()) {
    const values = line.split(',');
    const wrong = values.findIndex((value, p) => !isWithin(value, p === pixels ? classes - 1 : Digits.scale));
    if (values.length !== pixels + 1 || wrong >= 0) {
      const got = wrong >= 0 ? shown(values[wrong]) : `${values.length} values`;
      throw new DataError(
        `${name}: expected ${pixels} pixels from 0 to ${Digits.scale} and a class below ${classes} in row ${i + 1}, got ${got}`,
      );
    }
    for (let p = 0; p < pixels; p++) x[i * pixels + p] = Number(values[p]) / Digits.scale;
    y[i] = Number(values[pixels]);
  }
  return { x, y };
}

function unpacked(compressed: Uint8Array, name: string, rows: number): string {
  try {
    // No value has more than two digits, which end with a comma or the end of the line.
    return gunzipSync(compressed, { maxOutputLength: rows * (pixels + 1) * 3 + rows }).toString('latin1');
  } catch (error) {
    throw new DataError(`${name}: expected handwritten digits, got ${reasonOf(error)}`);
  }
}

function isWithin(text: string, most: number): boolean {
  return /^\d\d?$/.test(text) && Number(text) <= most;
}
