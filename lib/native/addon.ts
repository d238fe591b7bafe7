/**
 * What the addon `spikenode.node` exports. Handles are safe integers that name a native tensor or
 * generator of this environment; only lib/tensor uses them.
 */
export interface Addon {
  /** Calls an operator with its arguments in schema order; see native/node/operators.cc. */
  call(id: number, ...args: unknown[]): unknown;
  /** As `call`, on the native thread of this environment, in the order of the calls; a promise of the result. */
  callAsync(id: number, ...args: unknown[]): Promise<unknown>;
  findOperator(name: string, overload: string): number;
  schemas(): OperatorSchema[];

  fromData(data: ArrayBufferView, dtype: string, shape: readonly number[]): number;
  toData(handle: number): ArrayBuffer;
  toDataAsync(handle: number): Promise<ArrayBuffer>;
  shape(handle: number): number[];
  strides(handle: number): number[];
  dtype(handle: number): string;
  device(handle: number): string;
  elementCount(handle: number): number;
  sharesStorage(handle: number, other: number): boolean;
  alias(handle: number): number;
  dispose(handle: number): boolean;
  track(handle: number): number;
  own(handle: number, owner: number): void;
  isDisposed(handle: number): boolean;

  backward(
    handle: number,
    gradient: number | null,
    retainGraph: boolean,
    createGraph: boolean,
    inputs: number[] | null,
  ): void;
  backwardAsync(
    handle: number,
    gradient: number | null,
    retainGraph: boolean,
    createGraph: boolean,
    inputs: number[] | null,
  ): Promise<void>;
  requiresGrad(handle: number): boolean;
  setRequiresGrad(handle: number, value: boolean): void;
  grad(handle: number): number | null;
  setGrad(handle: number, gradient: number | null): void;
  isLeaf(handle: number): boolean;
  retainGrad(handle: number): void;
  gradFnName(handle: number): string | null;
  gradMode(): boolean;
  setGradMode(enabled: boolean): void;
  enterAutocast(device: string, enabled: boolean, dtype: string, cacheEnabled: boolean): void;
  /** Ends the innermost region. */
  exitAutocast(): void;
  autocastEnabled(device: string): boolean;

  /** Samples of `source` `[S, *]` as a new float32 tensor, gathered on the loader's thread. */
  gather(source: number, samples: Int32Array | BigInt64Array, scale: number): Promise<number>;

  manualSeed(seed: number | bigint): void;
  createGenerator(device: string, seed: number | bigint): number;
  seedGenerator(generator: number | null, seed: number | bigint): void;
  /** Of a generator, or the default one of a device. */
  generatorState(generator: number | string): number;
  setGeneratorState(generator: number | string, state: number): void;
  getNumThreads(): number;
  setNumThreads(count: number): void;
  cudaDeviceCount(): number;
  /** Figures in the order of native/node/runtime.cc. */
  memory(): number[];
  /** Live bytes, cached bytes, peak bytes and allocations of each CUDA device in turn; empty before the first CUDA tensor. */
  deviceMemory(): number[];
  /** Waits until the device has done what it was given. */
  synchronize(device: string): void;
  resetPeakMemory(): void;
  blockBytes(bytes: number): number;
  emptyCache(): void;
  /** For the process's end: waits for native threads inside libtorch, and lets none enter again. */
  stopWorkers(): void;
  version(): string;
  registered(): boolean;
  setErrorClasses(classes: readonly unknown[]): void;
}

/** One operator of libtorch's dispatcher, as the generator of lib/tensor/*.generated.ts reads it. */
export interface OperatorSchema {
  readonly name: string;
  readonly overload: string;
  readonly arguments: readonly SchemaArgument[];
  readonly returns: readonly SchemaArgument[];
  /** Whether it was registered for autograd as such; libtorch's own operators are so for each backend instead. */
  readonly autograd: boolean;
}

/** `type` is the real type (`ScalarType?`, `SymInt[]`); `size` that of a fixed-size list, else 0. */
export interface SchemaArgument {
  readonly name: string;
  readonly type: string;
  readonly kwargOnly: boolean;
  readonly hasDefault: boolean;
  readonly default?: string;
  readonly alias: '' | 'read' | 'write';
  readonly size: number;
}
