/** Types of a tensor's elements. The complex ones come out of a few operators only. */
export type DType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'bool'
  | 'complex64'
  | 'complex128';

/** Where a tensor's memory is. `cuda` is the current GPU. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}`;

/** How the elements are stored. */
export type Layout = 'strided' | 'sparse_coo';

/** The order of the dimensions in memory. */
export type MemoryFormat = 'contiguous_format' | 'preserve_format' | 'channels_last' | 'channels_last_3d';

/** A single value. In arithmetic an integer-valued number counts as an integer. */
export type Scalar = number | bigint | boolean;

/** Sizes, one per dimension. */
export type Shape = readonly number[];

/** Arrays in arrays, all of one depth and of equal lengths; a bare value stands for shape []. */
export type NestedArray<T = Scalar> = T | readonly NestedArray<T>[];

/** The typed arrays that have a dtype of the same name (`Uint8ClampedArray` is uint8). */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Int32Array
  | BigInt64Array;

/** What every function that makes a new tensor takes. */
export interface FactoryOptions {
  /** Default 'float32', or the dtype of the tensor that is the model; int64 for bigints. */
  readonly dtype?: DType | undefined;
  /** Default 'cpu', or the device of the tensor that is the model. */
  readonly device?: Device | undefined;
  /** Record gradients for the new tensor. Default false. */
  readonly requiresGrad?: boolean | undefined;
}

/** What a loss makes of its single values. */
export type Reduction = 'none' | 'mean' | 'sum';
