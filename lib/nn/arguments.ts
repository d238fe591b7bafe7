import { argumentError } from '../tensor/operator.js';

/** A size of one or two dimensions, or of all of them at once. */
export type Size = number | readonly number[];

/** @throws TypeError unless `value` is an integer of at least `min` */
export function checkInteger(value: unknown, min: number, layer: string, argument: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min) return value;
  throw argumentError(layer, argument, `an integer >= ${min}`, value);
}

/** A size as one integer for each of `dims` dimensions. @throws TypeError */
export function checkSize(
  value: unknown,
  dims: number,
  min: number,
  layer: string,
  argument: string,
): readonly number[] {
  const sizes: unknown = typeof value === 'number' ? new Array<number>(dims).fill(value) : value;
  if (Array.isArray(sizes) && sizes.length === dims) {
    return sizes.map((size) => checkInteger(size, min, layer, argument));
  }
  throw argumentError(layer, argument, `an integer or ${dims} of them`, value);
}

/** @throws TypeError unless `value` is a finite number within [min, max] */
export function checkNumber(
  value: unknown,
  min: number,
  max: number,
  layer: string,
  argument: string,
): number {
  if (typeof value === 'number' && value >= min && value <= max) return value;
  throw argumentError(layer, argument, `a number between ${min} and ${max}`, value);
}

/** Whether two shapes are the same. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
