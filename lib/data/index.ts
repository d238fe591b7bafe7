import { Registry } from '../registry.js';
import type { DatasetClass } from './dataset.js';
import { Digits } from './digits.js';
import { FashionMNIST, MNIST } from './mnist.js';

export { DataError, type DataModel, type Dataset, type DatasetClass, type DatasetSource } from './dataset.js';
export { Digits, type DigitsOptions } from './digits.js';
export { type Idx, parseIdx, readIdx } from './idx.js';
export { FashionMNIST, MNIST, type MNISTOptions } from './mnist.js';

/** Data sets by the names that configurations use (`kind`). */
export const datasets: Registry<DatasetClass> = new Registry<DatasetClass>('dataset kind', {
  Digits,
  MNIST,
  FashionMNIST,
});
