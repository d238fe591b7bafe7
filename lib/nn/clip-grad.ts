import { linalgVectorNorm, noGrad, stack, type Tensor, tidy, zeros } from '../tensor/index.js';

/**
 * Scales the gradients of `parameters` in place so that their norm, taken over all of them together, is at most
 * `maxNorm`. Returns the norm before, one element.
 */
export function clipGradNorm(parameters: Iterable<Tensor>, maxNorm: number): Tensor {
  return noGrad(() =>
    tidy(() => {
      const gradients = gradientsOf(parameters);
      if (gradients.length === 0) return zeros([]);
      const total = linalgVectorNorm(stack(gradients.map((gradient) => linalgVectorNorm(gradient))));
      const factor = total.add(1e-6).reciprocal().mul(maxNorm).clampMax(1);
      for (const gradient of gradients) gradient.mul_(factor);
      return total;
    }),
  );
}

/** Clamps each value of the gradients of `parameters` in place to the range from `-value` to `value`. */
export function clipGradValue(parameters: Iterable<Tensor>, value: number): void {
  noGrad(() =>
    tidy(() => {
      for (const gradient of gradientsOf(parameters)) gradient.clamp_(-value, value);
    }),
  );
}

function gradientsOf(parameters: Iterable<Tensor>): Tensor[] {
  return [...parameters].flatMap(({ grad }) => (grad === null ? [] : [grad]));
}
