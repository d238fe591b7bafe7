/** What the generated operators look at to choose an overload, besides `typeof`. */
import { ShapeError } from '../errors.js';
import { argumentError } from './operator.js';
import { Tensor } from './tensor.js';

/** Whether an argument is the options object, which may stand in place of the first omitted argument. */
export function isOptions(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !(value instanceof Tensor) && !Array.isArray(value);
}

/** The number that libtorch has for a word, `'mean'` among the reductions for instance. */
export function choiceOf(
  value: unknown,
  choices: ReadonlyMap<unknown, number>,
  op: string,
  argument: string,
): number | undefined {
  if (value === undefined) return undefined;
  const choice = choices.get(value);
  if (choice !== undefined) return choice;
  const words = [...choices.keys()].map((word) => `'${word}'`);
  throw argumentError(op, argument, `one of ${words.join(', ')}`, value);
}

/**
 * Integers of sizes with which libtorch computes before it checks them: larger ones overflow there. A list
 * is copied, so that it cannot change between the check and the call. Other types are left to the bridge.
 * @param bits the bound is 2 to the power of it
 */
export function boundedOf(value: unknown, op: string, argument: string, bits: number = 31): unknown {
  if (Array.isArray(value)) return value.map((item) => boundedOf(item, op, argument, bits));
  const bound = 2 ** bits;
  const isInteger = typeof value === 'number' || typeof value === 'bigint';
  if (isInteger && (value >= bound || value < -bound)) {
    throw new ShapeError(
      `${op}: argument '${argument}' must be between -2^${bits} and 2^${bits} - 1, got ${value}`,
    );
  }
  return value;
}

/** As `boundedOf` for a scalar: a bigint must be a safe integer; any number will do. */
export function safeOf(value: unknown, op: string, argument: string): unknown {
  if (typeof value === 'bigint' && !Number.isSafeInteger(Number(value))) {
    throw new ShapeError(`${op}: argument '${argument}' must be a safe integer, got ${value}`);
  }
  return value;
}

/** A new tensor with the `requiresGrad` of its options. */
export function withGrad(tensor: Tensor, requiresGrad: unknown, op: string): Tensor {
  if (requiresGrad === undefined) return tensor;
  if (typeof requiresGrad !== 'boolean') throw argumentError(op, 'requiresGrad', 'a boolean', requiresGrad);
  tensor.requiresGrad = requiresGrad;
  return tensor;
}
