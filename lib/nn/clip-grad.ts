import { TorchError } from '../errors.js';
import { checkOptions } from '../tensor/dispatch.js';
import {
  full,
  isTensor,
  linalgVectorNorm,
  noGrad,
  stack,
  type Tensor,
  tidy,
  zeros,
} from '../tensor/index.js';
import { _foreachMul_, _foreachNorm } from '../tensor/internal.generated.js';
import { argumentError } from '../tensor/operator.js';

/** Options of `clipGradNorm`. */
export interface ClipGradNormOptions {
  /** The p of the p-norm; Infinity is the largest absolute value. Default 2. */
  readonly normType?: number | undefined;
  /** Whether a norm that is not finite is an error; otherwise the gradients become NaN or 0. Default false. */
  readonly errorIfNonfinite?: boolean | undefined;
}

/**
 * Scales the gradients of the parameters, in place, so that the norm of all of them together is at most `maxNorm`: by
 * `min(1, maxNorm / (norm + 1e-6))`. Parameters without a gradient do not count.
 * @param maxNorm at least 0; with Infinity the norm is only measured
 * @returns the norm before, one element, on the device of the first gradient
 * @throws TypeError for arguments; TorchError for a norm that is not finite, with `errorIfNonfinite`
 */
export function clipGradNorm(
  parameters: Iterable<Tensor> | Tensor,
  maxNorm: number,
  options: ClipGradNormOptions = {},
): Tensor {
  const op = 'clipGradNorm';
  checkOptions(options, ['normType', 'errorIfNonfinite'], op);
  const { normType = 2, errorIfNonfinite = false } = options;
  if (!(typeof maxNorm === 'number' && maxNorm >= 0))
    throw argumentError(op, 'maxNorm', 'a number >= 0', maxNorm);
  if (typeof normType !== 'number' || Number.isNaN(normType))
    throw argumentError(op, 'normType', 'a number', normType);
  if (typeof errorIfNonfinite !== 'boolean') {
    throw argumentError(op, 'errorIfNonfinite', 'true or false', errorIfNonfinite);
  }
  const given = tensorsOf(parameters, op);
  return noGrad(() =>
    tidy(() => {
      const grads = gradientsOf(given);
      const [first] = grads;
      if (first === undefined) return zeros([]);
      const norms = _foreachNorm(grads, normType).map((norm) => norm.to(first.device));
      const total = linalgVectorNorm(stack(norms), normType);
      if (errorIfNonfinite) requireFinite(total, normType);
      // A tensor, since 16-bit gradients would round a number.
      const limit = full([], maxNorm, { dtype: 'float64' });
      const factor = total.add(1e-6).reciprocal().mul_(limit).clampMax(1);
      for (const [device, own] of byDevice(grads)) _foreachMul_(own, factor.to(device));
      return total;
    }),
  );
}

/**
 * Limits each element of the parameters' gradients to [-clipValue, clipValue], in place.
 * @param clipValue at least 0
 * @throws TypeError
 */
export function clipGradValue(parameters: Iterable<Tensor> | Tensor, clipValue: number): void {
  const op = 'clipGradValue';
  if (!(typeof clipValue === 'number' && clipValue >= 0)) {
    throw argumentError(op, 'clipValue', 'a number >= 0', clipValue);
  }
  const given = tensorsOf(parameters, op);
  noGrad(() =>
    tidy(() => {
      for (const grad of gradientsOf(given)) grad.clamp_(-clipValue, clipValue);
    }),
  );
}

function tensorsOf(parameters: unknown, op: string): readonly Tensor[] {
  if (typeof parameters !== 'object' || parameters === null) {
    throw argumentError(op, 'parameters', 'a Tensor or an iterable of them', parameters);
  }
  if (isTensor(parameters)) return [parameters];
  if (!(Symbol.iterator in parameters)) {
    throw argumentError(op, 'parameters', 'a Tensor or an iterable of them', parameters);
  }
  const all = [...(parameters as Iterable<unknown>)];
  const wrong = all.find((one) => typeof one !== 'object' || one === null || !isTensor(one));
  if (wrong !== undefined || all.includes(undefined)) throw argumentError(op, 'parameters', 'Tensors', wrong);
  return all as Tensor[];
}

function gradientsOf(parameters: readonly Tensor[]): Tensor[] {
  return parameters.flatMap((parameter) => parameter.grad ?? []);
}

function byDevice(tensors: readonly Tensor[]): Map<Tensor['device'], Tensor[]> {
  const groups = new Map<Tensor['device'], Tensor[]>();
  for (const tensor of tensors) groups.set(tensor.device, [...(groups.get(tensor.device) ?? []), tensor]);
  return groups;
}

function requireFinite(total: Tensor, normType: number): void {
  const value = Number(total.item());
  if (Number.isFinite(value)) return;
  throw new TorchError(
    `clipGradNorm: the norm of order ${normType} of all gradients is ${value}, so they cannot be clipped; ` +
      'errorIfNonfinite: false scales them all the same',
  );
}
