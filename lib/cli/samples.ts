import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { sampleSize } from '../data/dataset.js';
import { DataError, readIdx } from '../data/index.js';

// A text that gzip makes larger than this is not a list of samples.
const largestText = 2 ** 30;

/**
 * Reads samples: a JSON list of them (`.json`), numbers with commas and a sample a line (`.csv`), each also with
 * `.gz`, or else an IDX file. The values are in the units of the data set's own files and are divided by `scale`.
 * @param shape of one sample
 * @throws DataError that names the sample which does not fit
 */
export async function readSamples(
  file: string,
  shape: readonly number[],
  scale: number,
): Promise<Float32Array> {
  const kind = /\.(json|csv)(\.gz)?$/.exec(file)?.[1];
  const size = sampleSize(shape);
  if (kind === undefined) return scaled(await idxSamples(file, size, shape), scale);
  const text = await textOf(file);
  const samples = kind === 'json' ? jsonSamples(text, file) : csvSamples(text, file);
  const values = new Float32Array(samples.length * size);
  samples.forEach((sample, i) => {
    if (sample.length !== size) {
      throw new DataError(
        `${file}: expected ${size} values for shape [${shape}], got ${sample.length} in sample ${i + 1}`,
      );
    }
    const wrong = sample.findIndex((value) => typeof value !== 'number' || !Number.isFinite(value));
    if (wrong >= 0)
      throw new DataError(`${file}: expected a number at value ${wrong + 1} of sample ${i + 1}`);
    values.set(sample as number[], i * size);
  });
  return scaled(values, scale);
}

function scaled(values: Float32Array, scale: number): Float32Array {
  for (let i = 0; i < values.length; i++) values[i]! /= scale;
  return values;
}

async function idxSamples(file: string, size: number, shape: readonly number[]): Promise<Float32Array> {
  const { values, shape: stored } = await readIdx(file);
  const [samples = 0] = stored;
  if (values.length !== samples * size) {
    throw new DataError(`${file}: expected samples of shape [${shape}], got [${stored.slice(1)}]`);
  }
  return Float32Array.from(values);
}

async function textOf(file: string): Promise<string> {
  try {
    const bytes = await readFile(file);
    return (file.endsWith('.gz') ? gunzipSync(bytes, { maxOutputLength: largestText }) : bytes).toString();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new DataError(`${file}: expected samples, got ${code === 'ENOENT' ? 'no such file' : message}`);
  }
}

function jsonSamples(text: string, file: string): unknown[][] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new DataError(`${file}: expected JSON, got ${(error as Error).message}`);
  }
  if (!Array.isArray(content)) throw new DataError(`${file}: expected a list of samples`);
  return content.map((sample) => (Array.isArray(sample) ? (sample.flat(8) as unknown[]) : [sample]));
}

function csvSamples(text: string, file: string): number[][] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, i) =>
    line.split(',').map((field) => {
      const value = field.trim() === '' ? Number.NaN : Number(field);
      if (Number.isFinite(value)) return value;
      throw new DataError(
        `${file}:${i + 1}: expected numbers with commas between them, got ${JSON.stringify(field)}`,
      );
    }),
  );
}
