import { ShapeError, TorchError } from '../errors.js';
import { formatTensor } from './format.js';
import { flattenNested, nestFlat } from './nested.js';
import { addon, argumentError, Operator } from './operator.js';
import type { KeepOwner } from './owner.js';
import { adopt, refuseThenable, tidyWith, unscope } from './scope.js';
import type { Device, DType, NestedArray, Shape, TypedArray } from './types.js';

const FROM_HANDLE: unique symbol = Symbol('handle');

/** What `backward` takes besides the gradient. */
export interface BackwardOptions {
  /** Keep the graph for another backward. Default: `createGraph`. */
  readonly retainGraph?: boolean;
  /** Record the backward itself. Default false. */
  readonly createGraph?: boolean;
  /** Accumulate into these leaves only. */
  readonly inputs?: readonly Tensor[];
}

/** What `to` takes in its long form. */
export interface ToOptions {
  /** Default: stays. */
  readonly dtype?: DType;
  /** Default: stays. */
  readonly device?: Device;
  /** Copy even if nothing changes. Default false. */
  readonly copy?: boolean;
}

const toOperator = new Operator('aten::to', 'dtype_layout');
const detachOperator = new Operator('aten::detach', '');

// Set by the class below: what its friends in this folder may see.
let readHandle: (tensor: Tensor) => number;
let hasHandle: (value: object) => value is Tensor;
let markKept: (tensor: Tensor, owner: KeepOwner) => void;
/** Who owns a tensor that scopes leave alone; null for all others. */
export let keptBy: (tensor: Tensor) => KeepOwner | null;
/** Exchanges the memory behind two objects, finalizers aside; see `Module.to`. */
export let swapHandles: (a: Tensor, b: Tensor) => void;

/**
 * A multi-dimensional array of one dtype, a counted reference to a tensor of libtorch. `dispose` and the
 * end of a scope drop that reference. Operators are methods under PyTorch's names in camelCase.
 */
export class Tensor implements Disposable {
  #handle: number;
  #keptBy: KeepOwner | null = null;

  static {
    readHandle = (tensor) => tensor.#handle;
    hasHandle = (value): value is Tensor => #handle in value;
    keptBy = (tensor) => tensor.#keptBy;
    markKept = (tensor, owner) => {
      tensor.#keptBy = owner;
    };
    swapHandles = (a, b) => {
      const handle = a.#handle;
      a.#handle = b.#handle;
      b.#handle = handle;
    };
  }

  /**
   * A second reference to the tensor of `source` (same values, same gradient); the base of `Parameter`.
   * Values come in through `tensor(...)` and the factories.
   */
  constructor(source: Tensor);
  /** @internal */
  constructor(source: typeof FROM_HANDLE, handle: number);
  constructor(source: Tensor | typeof FROM_HANDLE, handle?: number) {
    this.#handle =
      source === FROM_HANDLE ? (handle as number) : addon().alias(handleOf(source, 'Tensor', 'source'));
    adopt(this);
  }

  /** Sizes, one per dimension. */
  get shape(): Shape {
    return addon().shape(this.#handle);
  }

  /** Elements between neighbours, one per dimension. */
  get strides(): Shape {
    return addon().strides(this.#handle);
  }

  /** Number of dimensions. */
  get ndim(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get numel(): number {
    return addon().elementCount(this.#handle);
  }

  /** Type of the elements. */
  get dtype(): DType {
    return addon().dtype(this.#handle) as DType;
  }

  /** Where the memory is. */
  get device(): Device {
    return addon().device(this.#handle) as Device;
  }

  /** Whether the memory was given back, so that every use is a DisposedError. */
  get disposed(): boolean {
    return addon().isDisposed(this.#handle);
  }

  /** Whether gradients are recorded; may be set on leaves of a floating-point dtype. */
  get requiresGrad(): boolean {
    return addon().requiresGrad(this.#handle);
  }

  set requiresGrad(value: boolean) {
    addon().setRequiresGrad(this.#handle, value);
  }

  /** Whether it was made by a user and not by an operator that is recorded. */
  get isLeaf(): boolean {
    return addon().isLeaf(this.#handle);
  }

  /** The accumulated gradient, or null. Each read gives a new object over the same memory. */
  get grad(): Tensor | null {
    const handle = addon().grad(this.#handle);
    return handle === null ? null : fromHandle(handle);
  }

  set grad(value: Tensor | null) {
    addon().setGrad(this.#handle, value === null ? null : handleOf(value, 'grad', 'value'));
  }

  /** Keeps the gradient of a tensor that is not a leaf. */
  retainGrad(): void {
    addon().retainGrad(this.#handle);
  }

  /**
   * Accumulates the gradients of this tensor into the leaves of its graph. Without `gradient` the tensor must
   * have one element. @throws TorchError
   */
  backward(gradient?: Tensor | null, options: BackwardOptions = {}): void {
    try {
      addon().backward(this.#handle, ...backwardArguments(gradient, options));
    } catch (error) {
      throw withCure(error);
    }
  }

  /** `backward` on a native thread; the event loop stays free. */
  async backwardAsync(gradient?: Tensor | null, options: BackwardOptions = {}): Promise<void> {
    try {
      await addon().backwardAsync(this.#handle, ...backwardArguments(gradient, options));
    } catch (error) {
      throw withCure(error);
    }
  }

  /** The same values, outside the graph. */
  detach(): Tensor {
    return fromHandle(detachOperator.bound().call(detachOperator.id, this.#handle) as number);
  }

  /** Converts to a dtype, a device or both; the tensor itself when nothing changes. */
  to(target: DType | Device | ToOptions): Tensor {
    const options =
      typeof target === 'string' ? (isDevice(target) ? { device: target } : { dtype: target }) : target;
    if (options === null || typeof options !== 'object') {
      throw argumentError('to', 'target', 'a dtype, a device or an object of both', target);
    }
    const { dtype, device, copy = false } = options as ToOptions;
    const unchanged =
      !copy &&
      (dtype === undefined || dtype === this.dtype) &&
      (device === undefined || device === this.device);
    if (unchanged) return this;
    const arguments_ = [dtype ?? null, null, device ?? null, null, false, copy, null];
    return fromHandle(toOperator.bound().call(toOperator.id, this.#handle, ...arguments_) as number);
  }

  /** `to('cpu')`. */
  cpu(): Tensor {
    return this.to('cpu');
  }

  /** `to('cuda')`, or the GPU of an index. */
  cuda(index?: number): Tensor {
    return this.to(index === undefined ? 'cuda' : `cuda:${index}`);
  }

  /** The one value: a number, or a boolean for bool. @throws ShapeError, RangeError beyond safe integers */
  item(): number | boolean {
    this.#requireOneElement();
    return scalarOf(typedArray(addon().toData(this.#handle), this.dtype), this.dtype);
  }

  /** `item` without blocking the event loop. @throws as that */
  async itemAsync(): Promise<number | boolean> {
    this.#requireOneElement();
    const dtype = this.dtype;
    return scalarOf(typedArray(await addon().toDataAsync(this.#handle), dtype), dtype);
  }

  /** Nested arrays of numbers, or of booleans for bool. */
  tolist(): NestedArray {
    return nested(typedArray(addon().toData(this.#handle), this.dtype), this.dtype, this.shape);
  }

  /** `tolist` without blocking the event loop. */
  async tolistAsync(): Promise<NestedArray> {
    const { dtype, shape } = this;
    return nested(typedArray(await addon().toDataAsync(this.#handle), dtype), dtype, shape);
  }

  /** Values in row-major order: Float32Array for 16-bit floats, BigInt64Array for int64, Uint8Array for bool. */
  toTypedArray(): TypedArray {
    return typedArray(addon().toData(this.#handle), this.dtype);
  }

  /** `toTypedArray` without blocking the event loop. */
  async toTypedArrayAsync(): Promise<TypedArray> {
    const dtype = this.dtype;
    return typedArray(await addon().toDataAsync(this.#handle), dtype);
  }

  /** Drops the reference to the memory; harmless when repeated. */
  dispose(): void {
    addon().dispose(this.#handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** As PyTorch prints it. */
  toString(): string {
    if (this.disposed) return 'tensor(<disposed>)';
    const { dtype, shape, device } = this;
    const gradFn = addon().gradFnName(this.#handle);
    const isComplex = dtype.startsWith('complex');
    const values = isComplex ? null : this.toTypedArray();
    return formatTensor({ dtype, shape, values, device, requiresGrad: this.requiresGrad, gradFn });
  }

  #requireOneElement(): void {
    const count = this.numel;
    if (count !== 1) throw new ShapeError(`item: the tensor must have one element, got ${count}`);
  }
}

// What util.inspect and console.log show.
Object.defineProperty(Tensor.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value: Tensor.prototype.toString,
});

/** Whether a value is a `Tensor`, a `Parameter` or a `Buffer`. */
export function isTensor(value: unknown): value is Tensor {
  return value !== null && typeof value === 'object' && hasHandle(value);
}

/** The native handle. @throws TypeError that names operator and argument */
export function handleOf(value: unknown, op = 'handleOf', argument = 'value'): number {
  if (value instanceof Tensor) return readHandle(value);
  throw argumentError(op, argument, 'a Tensor', value);
}

/** A Tensor object over a handle that the addon just returned. */
export function fromHandle(handle: number): Tensor {
  return new Tensor(FROM_HANDLE, handle);
}

/**
 * Takes a tensor out of every scope: its owner is whoever calls this. Returns it.
 * @param owner what `memory()` counts it for; default 'kept', or what it was kept for before
 */
export function keep<T extends Tensor>(tensor: T, owner?: KeepOwner): T {
  const before = keptBy(tensor);
  markKept(tensor, owner ?? before ?? 'kept');
  unscope(tensor, before === null);
  return tensor;
}

/** Calls fn and disposes the tensors made in it, except those in its result; see `Scope`. */
export function tidy<R>(fn: () => R): R {
  return tidyWith(fn, hasHandle);
}

function withGradMode<R>(enabled: boolean, fn: () => R, name: string): R {
  if (typeof fn !== 'function') throw argumentError(name, 'fn', 'a function', fn);
  const before = addon().gradMode();
  addon().setGradMode(enabled);
  try {
    return refuseThenable(fn(), name);
  } finally {
    addon().setGradMode(before);
  }
}

/** Calls the synchronous fn without recording gradients; returns what it returns. */
export function noGrad<R>(fn: () => R): R {
  return withGradMode(false, fn, 'noGrad');
}

/** Calls the synchronous fn with recording on, inside a `noGrad` too. */
export function enableGrad<R>(fn: () => R): R {
  return withGradMode(true, fn, 'enableGrad');
}

/** Whether operators are recorded for backward; see `noGrad` and `enableGrad`. */
export function isGradEnabled(): boolean {
  return addon().gradMode();
}

function isDevice(target: string): target is Device {
  return target === 'cpu' || target === 'meta' || target.startsWith('cuda');
}

function backwardArguments(
  gradient: Tensor | null | undefined,
  options: BackwardOptions,
): [number | null, boolean, boolean, number[] | null] {
  const { createGraph = false, retainGraph = createGraph, inputs } = options;
  const gradientHandle = gradient == null ? null : handleOf(gradient, 'backward', 'gradient');
  const inputHandles =
    inputs === undefined ? null : inputs.map((input) => handleOf(input, 'backward', 'inputs'));
  return [gradientHandle, retainGraph, createGraph, inputHandles];
}

/** libtorch cannot know of neuron states; most second backwards come from them. */
function withCure(error: unknown): unknown {
  if (!(error instanceof TorchError) || !error.message.includes('backward through the graph a second time'))
    return error;
  return new TorchError(
    'backward: the graph was already freed by an earlier backward. If a neuron still holds a state of that graph, call ' +
      'resetNet(net) before the next sequence, or detachNet(net) for truncated backpropagation through time; to run ' +
      'backward twice over one graph pass { retainGraph: true }.',
  );
}

const ARRAYS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Float32Array,
  bfloat16: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

function typedArray(buffer: ArrayBuffer, dtype: DType): TypedArray {
  return new ARRAYS[dtype as keyof typeof ARRAYS](buffer);
}

function scalarOf(values: TypedArray, dtype: DType): number | boolean {
  const value = values[0] as number | bigint;
  if (dtype === 'bool') return value !== 0;
  if (typeof value === 'number') return value;
  if (value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER) {
    throw new RangeError(`${value} is not a safe integer; read it with toTypedArray()`);
  }
  return Number(value);
}

function nested(values: TypedArray, dtype: DType, shape: Shape): NestedArray {
  const flat = Array.from(values as ArrayLike<number | bigint>, (value) =>
    dtype === 'bool' || typeof value === 'bigint' ? scalarOf([value] as unknown as TypedArray, dtype) : value,
  );
  return nestFlat(flat, shape);
}

/** What `tensor` takes besides the values. */
export interface TensorOptions {
  /** Of a typed array (default: one dimension) or a flat array. */
  readonly shape?: Shape;
  /** Default: as the values say; see `tensor`. */
  readonly dtype?: DType;
  /** Default 'cpu'. */
  readonly device?: Device;
  /** Record gradients for the new tensor. Default false. */
  readonly requiresGrad?: boolean;
}

function dtypeOfArray(data: ArrayBufferView): DType {
  if (data instanceof Float32Array) return 'float32';
  if (data instanceof Float64Array) return 'float64';
  if (data instanceof BigInt64Array) return 'int64';
  if (data instanceof Int32Array) return 'int32';
  if (data instanceof Int16Array) return 'int16';
  if (data instanceof Int8Array) return 'int8';
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) return 'uint8';
  throw argumentError('tensor', 'data', 'a nested array or a typed array with a dtype of its own', data);
}

function fromValues(data: unknown, shape: Shape | undefined): Tensor {
  if (ArrayBuffer.isView(data)) {
    const length = (data as unknown as TypedArray).length;
    return fromHandle(addon().fromData(data, dtypeOfArray(data), shape ?? [length]));
  }
  const flat = flattenNested(data);
  if (flat.dtype === 'int64') {
    const integers = BigInt64Array.from(flat.values as bigint[], checkInt64);
    return fromHandle(addon().fromData(integers, 'int64', shape ?? flat.shape));
  }
  if (flat.dtype === 'bool') {
    return fromHandle(
      addon().fromData(Uint8Array.from(flat.values as boolean[], Number), 'bool', shape ?? flat.shape),
    );
  }
  return fromHandle(
    addon().fromData(Float64Array.from(flat.values as number[]), 'float64', shape ?? flat.shape),
  );
}

function checkInt64(value: bigint): bigint {
  if (BigInt.asIntN(64, value) !== value) throw new RangeError(`tensor: ${value} does not fit int64`);
  return value;
}

/**
 * A tensor of the given values (copied): nested arrays of numbers (float32), booleans (bool) or bigints
 * (int64), or a typed array, whose dtype is its own. @throws TypeError for ragged, cyclic or mixed nests, ShapeError
 */
export function tensor(
  data: NestedArray | TypedArray | number | bigint | boolean,
  options: TensorOptions = {},
): Tensor {
  if (options === null || typeof options !== 'object')
    throw argumentError('tensor', 'options', 'an object', options);
  const isNumbers = !ArrayBuffer.isView(data);
  const made = tidy(() => {
    const values = fromValues(data, options.shape);
    const dtype = options.dtype ?? (isNumbers && values.dtype === 'float64' ? 'float32' : values.dtype);
    return values.to({ dtype, device: options.device ?? 'cpu' });
  });
  if (options.requiresGrad) made.requiresGrad = true;
  return made;
}
