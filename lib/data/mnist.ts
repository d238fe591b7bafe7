import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ParameterTable, parameter, resolveParameters, text } from '../parameters.js';
import { DataError, type DataModel, type Dataset, type DatasetSource } from './dataset.js';
import { readIdx } from './idx.js';

/** Options of `MNIST` and `FashionMNIST`. */
export interface MNISTOptions {
  /** The folder with the four IDX files, gzip-compressed or not; relative to the working directory. */
  readonly path: string;
}

const classes = 10;

/**
 * MNIST (Y. LeCun, C. Cortes and C. Burges): 60,000 handwritten digits of 28x28 pixels for training and 10,000 for the
 * test, read from `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
 * `t10k-labels-idx1-ubyte`; pixels are bytes 0..255 with a scale of 255, so a network gets 0..1.
 */
export class MNIST implements DatasetSource {
  static readonly parameters: ParameterTable = { path: parameter('path', text()) };
  static readonly scale: number = 255;

  /** As in the options. */
  readonly path: string;

  /** @throws ConfigError */
  constructor(options: MNISTOptions) {
    this.path = resolveParameters<MNISTOptions>(MNIST.parameters, options).path;
  }

  async load(): Promise<DataModel> {
    const train = await this.#part('train');
    const test = await this.#part('t10k');
    if (`${train.shape}` !== `${test.shape}`) {
      throw new DataError(
        `${this.path}: expected images of one size, got [${train.shape}] and [${test.shape}]`,
      );
    }
    return { name: this.constructor.name, train, test };
  }

  async #part(name: string): Promise<Dataset> {
    const images = await this.#read(`${name}-images-idx3-ubyte`, 3);
    const labels = await this.#read(`${name}-labels-idx1-ubyte`, 1);
    const [length, height, width] = images.shape as [number, number, number];
    if (length !== labels.shape[0]) {
      throw new DataError(
        `${images.file}: expected as many images as labels, got ${length} and ${labels.shape[0]}`,
      );
    }
    if (images.values.length === 0) throw new DataError(`${images.file}: expected images, got none`);
    const wrong = labels.values.findIndex((label) => label >= classes);
    if (wrong >= 0) {
      throw new DataError(
        `${labels.file}: expected labels below ${classes}, got ${labels.values[wrong]} for image ${wrong}`,
      );
    }
    const { values: x } = images;
    const y = Int32Array.from(labels.values);
    return { x, scale: MNIST.scale, y, shape: [height, width, 1], classes, length };
  }

  async #read(
    name: string,
    dimensions: number,
  ): Promise<{ file: string; shape: readonly number[]; values: Uint8Array }> {
    const file = await this.#find(name);
    const { shape, values } = await readIdx(file);
    if (!(values instanceof Uint8Array) || shape.length !== dimensions) {
      throw new DataError(`${file}: expected bytes in ${dimensions} dimensions, got shape [${shape}]`);
    }
    return { file, shape, values };
  }

  async #find(name: string): Promise<string> {
    for (const file of [join(this.path, name), join(this.path, `${name}.gz`)]) {
      if (await stat(file).catch(() => null)) return file;
    }
    throw new DataError(`${this.path}: expected the file ${name} or ${name}.gz, got neither`);
  }
}

/**
 * Fashion-MNIST (H. Xiao, K. Rasul and R. Vollgraf 2017, MIT): 70,000 images of articles of clothing in the files and
 * the form of MNIST.
 */
export class FashionMNIST extends MNIST {}
