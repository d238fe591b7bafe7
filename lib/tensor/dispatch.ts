/** What the generated operators are made of. */
import { argumentError, Operator } from './operator.js';
import { generatorHandle } from './random.js';
import { fromHandle, handleOf, type Tensor } from './tensor.js';

export { argumentError, handleOf, Operator };

export function optionalHandleOf(value: unknown, op: string, argument: string): number | null | undefined {
  return value === null || value === undefined ? value : handleOf(value, op, argument);
}

/** Handles of a list of tensors, null where an entry is null. */
export function handlesOf(value: unknown, op: string, argument: string): (number | null)[] {
  if (!Array.isArray(value)) throw argumentError(op, argument, 'an array of Tensors', value);
  return value.map((item) => (item === null ? null : handleOf(item, op, argument)));
}

export function generatorHandleOf(value: unknown, op: string, argument: string): number | null | undefined {
  return value === null || value === undefined ? value : generatorHandle(value, op, argument);
}

// Where run() puts its calls; set inside queued() only.
let queue: Promise<unknown>[] | undefined;

/** Calls an operator that gives no result: at once, or on the native thread inside `queued`. */
export function run(operator: Operator, ...args: readonly unknown[]): void {
  const native = operator.bound();
  if (queue === undefined) native.call(operator.id, ...args);
  else queue.push(native.callAsync(operator.id, ...args));
}

/**
 * Calls fn, whose heavy operators (`queued` in scripts/operators.overrides.json) run one after another on the native
 * thread; all others still run at once. The promise is settled when none is in flight, rejected with the first error.
 */
export async function queued(fn: () => void): Promise<void> {
  const outer = queue;
  const calls: Promise<unknown>[] = [];
  queue = calls;
  try {
    fn();
  } finally {
    queue = outer;
    await Promise.allSettled(calls);
  }
  await Promise.all(calls);
}

/** A result of the addon as a Tensor. */
export function wrap(result: unknown): Tensor {
  return fromHandle(result as number);
}

/** As `wrap`, for results that may be undefined in libtorch. */
export function wrapOptional(result: unknown): Tensor | null {
  return result === null ? null : fromHandle(result as number);
}

export function wrapList(result: unknown): Tensor[] {
  return (result as number[]).map(fromHandle);
}

// A Generator or a Map in the place of options would otherwise pass for empty ones.
function isPlainObject(value: unknown): value is object {
  if (value === null || typeof value !== 'object') return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** @throws TypeError when options is no object or has a key that the operator does not know */
export function checkOptions(options: unknown, allowed: readonly string[], op: string): void {
  if (!isPlainObject(options)) throw argumentError(op, 'options', 'an object', options);
  for (const key of Object.keys(options)) {
    if (!allowed.includes(key))
      throw argumentError(op, 'options', `an object with ${allowed.join(', ')}`, key);
  }
}
