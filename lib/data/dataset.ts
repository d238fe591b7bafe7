import type { SpikenodeError } from '../errors.js';
import type { ParameterTable } from '../parameters.js';

/** Samples with their classes, for instance the training part. */
export interface Dataset {
  /**
   * All samples, row-major, channels last: numbers as a network takes them, or bytes, which take a fourth of the memory
   * and become numbers batch by batch.
   */
  readonly x: Float32Array | Uint8Array;
  /** With bytes only, and necessary then: a network gets each byte divided by it. */
  readonly scale?: number | undefined;
  /** The class index of each sample. */
  readonly y: Int32Array;
  /** Shape of one sample, channels last: `[8, 8, 1]`. */
  readonly shape: readonly number[];
  /** Number of classes; `y` is below it. */
  readonly classes: number;
  /** Number of samples. */
  readonly length: number;
}

/** The parts of a data set. */
export interface DataModel {
  /** The name of the data set, for reports. */
  readonly name: string;
  /** What a network learns from. */
  readonly train: Dataset;
  /** What training is validated on; absent where the data set has no such part. */
  readonly valid?: Dataset;
  /** What a trained network is measured on; absent where the data set has no such part. */
  readonly test?: Dataset;
}

/** Where data comes from. Nothing is read before `load`. */
export interface DatasetSource {
  /** @throws DataError if the files are missing or not what they should be */
  load(): Promise<DataModel>;
}

/** A class of data sets with the table of its parameters. */
export interface DatasetClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (options?: any): DatasetSource;
  readonly parameters: ParameterTable;
  /** Values in the data's files are divided by this: 255 for images of bytes. Default 1. */
  readonly scale?: number;
}

/** A file with data that is missing, damaged or not of the expected form; the message begins with its name. */
export class DataError extends Error implements SpikenodeError {
  override readonly name: string = 'DataError';
  readonly code: string = 'ERR_SPIKENODE_DATA';
}

/** What an error message says of why a file could not be read. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'ERR_BUFFER_TOO_LARGE') return 'gzip data of too many bytes';
  return code?.startsWith('Z_') ? `damaged gzip data (${message})` : message;
}

/** Values of one sample. */
export function sampleSize(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
