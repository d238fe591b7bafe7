import { describe } from './operator.js';
import type { NestedArray, Scalar, Shape } from './types.js';

/** Values in row-major order, with the shape and the dtype that the nest has by itself. */
export interface FlatValues {
  readonly values: number[] | boolean[] | bigint[];
  readonly shape: number[];
  /** float32 of numbers, bool of booleans, int64 of bigints. */
  readonly dtype: 'float32' | 'bool' | 'int64';
}

const DTYPES = { number: 'float32', boolean: 'bool', bigint: 'int64' } as const;

/**
 * Flattens nested arrays. `[]` has shape [0] and float32; a bare value has shape [].
 * @throws TypeError for ragged, cyclic or mixed nests, and for anything but numbers, booleans and bigints
 */
export function flattenNested(data: unknown): FlatValues {
  const shape = shapeOf(data);
  const index = shape.map(() => 0);
  const values: Scalar[] = [];
  let kind: keyof typeof DTYPES | undefined;
  const wrong = (depth: number, problem: string): TypeError => {
    const path = index.slice(0, depth).map((i) => `[${i}]`);
    return new TypeError(`nested arrays: data${path.join('')} ${problem}`);
  };
  const visitItems = (value: unknown, depth: number): void => {
    const length = shape[depth] as number;
    if (!Array.isArray(value)) throw wrong(depth, `must be an array of ${length}, got ${describe(value)}`);
    if (value.length !== length) throw wrong(depth, `must have ${length} elements, got ${value.length}`);
    for (let i = 0; i < length; i++) {
      index[depth] = i;
      if (depth + 1 < shape.length) visitItems(value[i], depth + 1);
      else add(value[i]);
    }
  };
  const add = (value: unknown): void => {
    const type = typeof value;
    if (type !== 'number' && type !== 'boolean' && type !== 'bigint') {
      throw wrong(shape.length, `must be a number, a boolean or a bigint, got ${describe(value)}`);
    }
    kind ??= type;
    if (type !== kind) throw wrong(shape.length, `is a ${type}, but the values before it are ${kind}s`);
    values.push(value as Scalar);
  };
  if (shape.length > 0) visitItems(data, 0);
  else add(data);
  return { values: values as number[], shape, dtype: DTYPES[kind ?? 'number'] };
}

/** Lengths along the first elements; `flattenNested` holds the others against them. */
function shapeOf(data: unknown): number[] {
  const shape: number[] = [];
  const ancestors = new Set<unknown>();
  for (let value = data; Array.isArray(value); value = value[0]) {
    if (ancestors.has(value)) throw new TypeError('nested arrays: data contains itself');
    ancestors.add(value);
    shape.push(value.length);
  }
  return shape;
}

/**
 * The inverse: nested arrays of row-major values. Shape [] gives the bare value.
 * @throws RangeError when the shape does not have as many elements as there are values
 */
export function nestFlat<T extends Scalar>(values: ArrayLike<T>, shape: Shape): NestedArray<T> {
  const count = shape.reduce((product, size) => product * size, 1);
  if (count !== values.length) {
    throw new RangeError(`${values.length} values do not fill the shape [${shape.join(', ')}]`);
  }
  let next = 0;
  const nest = (depth: number): NestedArray<T> =>
    depth === shape.length
      ? (values[next++] as T)
      : Array.from({ length: shape[depth] as number }, () => nest(depth + 1));
  return nest(0);
}
