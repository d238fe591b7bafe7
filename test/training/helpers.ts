/** What the tests of the training floor share. */
import type { Dataset } from '../../lib/data/index.js';
import { SMLP } from '../../lib/models/index.js';
import { manualSeed } from '../../lib/tensor/index.js';
import { randomNumbers } from '../tensor/helpers.js';

/** Samples `[4, 1]` (or of another shape) of three classes, told apart by where their values are large. */
export function samples(length: number, seed: number = 1, shape: readonly number[] = [4, 1]): Dataset {
  const random = randomNumbers(seed);
  const width = shape.reduce((product, size) => product * size, 1);
  const y = Int32Array.from({ length }, () => Math.floor(random() * 3));
  const x = Float32Array.from({ length: length * width }, (_, i) => {
    const isOwn = (i % width) % 4 === y[Math.floor(i / width)];
    return random() + (isOwn ? 1.5 : 0);
  });
  return { x, y, shape, classes: 3, length };
}

/** A small network for such samples; the same seed gives the same weights. */
export function network(
  stepMode: 's' | 'm' = 'm',
  seed: number = 0,
  inputShape: readonly number[] = [4, 1],
): SMLP {
  manualSeed(seed);
  const params = { v_threshold: 0.5, detach_reset: true, step_mode: stepMode, surrogate_function: 'ATan' };
  const neuron = { kind: 'LIFNode', params };
  return new SMLP({ inputShape, outputShape: [3], timesteps: 3, units: [16], neuron });
}

/** All weights, as plain numbers. */
export function weightsOf(model: SMLP): number[] {
  return [...model.parameters()].flatMap((parameter) => [...(parameter.toTypedArray() as Float32Array)]);
}
