import { addon, argumentError, Operator } from './operator.js';
import { type Owner, owners } from './owner.js';
import { fromHandle, handleOf, isTensor } from './tensor.js';
import type { Device } from './types.js';

/** What one owner has. */
export interface OwnedMemory {
  /** Tensor objects. */
  readonly tensors: number;
  /** Their memory, each storage once. */
  readonly bytes: number;
}

/**
 * What is in memory now. Bytes are those of CPU tensors of the whole process, as the allocator counts them: rounded up
 * to its size classes, by an eighth at most; with SPIKENODE_ALLOCATOR=system it counts nothing. What lies on GPUs is in
 * `devices`.
 */
export interface MemoryReport {
  /** Tensor and generator objects of this thread that have not been disposed. */
  readonly tensors: number;
  /** Live bytes: what tensors take now. */
  readonly bytes: number;
  /** Freed blocks that the allocator keeps for the next tensor. */
  readonly cachedBytes: number;
  /** The most that `bytes` has been since the start or the last `resetPeakMemory()`. */
  readonly peakBytes: number;
  /** Above it `OutOfMemoryError`; SPIKENODE_MEMORY_LIMIT. */
  readonly limitBytes: number;
  /** Bytes of tensors that neither a scope nor a module owns. */
  readonly undisposedBytes: number;
  /** Blocks that were ever handed out, and their bytes. */
  readonly allocations: number;
  /** The bytes of all blocks that were ever handed out. */
  readonly allocatedBytes: number;
  /**
   * What this thread's tensors take by owner. Memory that several share counts once, for the first in this order:
   * parameters, buffers, states, optimizer, data, gradients, kept, scopes, undisposed. `gradients` are those in `grad`
   * of leaves (while a `backwardAsync` is under way they are counted in `graphs`). `graphs` is the rest of `bytes`: what
   * only graphs, native work and other threads keep alive.
   */
  readonly owners: Readonly<Record<Owner | 'gradients', OwnedMemory>> & {
    /** What only graphs, native work and other threads keep alive. */
    readonly graphs: Pick<OwnedMemory, 'bytes'>;
  };
  /** What libtorch's allocator has on each CUDA device, by index; empty before the first CUDA tensor. */
  readonly devices: readonly DeviceMemory[];
}

/** What lies on a device, in bytes of the whole process as libtorch's allocator counts them. */
export interface DeviceMemory {
  readonly bytes: number;
  /** Taken from the device and kept for the next tensor. */
  readonly cachedBytes: number;
  /** The most that `bytes` has been since the start or the last `resetPeakMemory()`. */
  readonly peakBytes: number;
  /** Blocks that were ever handed out. */
  readonly allocations: number;
}

function deviceMemory(): DeviceMemory[] {
  const values = addon().deviceMemory();
  return Array.from({ length: values.length / 4 }, (_, i) => {
    const [bytes = 0, cachedBytes = 0, peakBytes = 0, allocations = 0] = values.slice(4 * i);
    return { bytes, cachedBytes, peakBytes, allocations };
  });
}

/** What is in memory now, by owner; docs/memory.md says how to read it. */
export function memory(): MemoryReport {
  const [
    tensors = 0,
    bytes = 0,
    cachedBytes = 0,
    peakBytes = 0,
    limitBytes = 0,
    undisposedBytes = 0,
    allocations = 0,
    allocatedBytes = 0,
    ...owned
  ] = addon().memory();
  const names = [...owners, 'gradients'] as const;
  const of = (name: Owner | 'gradients'): OwnedMemory => {
    const place = 2 * names.indexOf(name);
    return { tensors: owned[place]!, bytes: owned[place + 1]! };
  };
  const all = Object.fromEntries(names.map((name) => [name, of(name)])) as Record<
    (typeof names)[number],
    OwnedMemory
  >;
  const known = names.reduce((sum, name) => sum + all[name].bytes, 0);
  return {
    tensors,
    bytes,
    cachedBytes,
    peakBytes,
    limitBytes,
    undisposedBytes,
    allocations,
    allocatedBytes,
    owners: { ...all, graphs: { bytes: Math.max(bytes - known, 0) } },
    devices: deviceMemory(),
  };
}

/** Begins a new measurement of `peakBytes`, also of devices. */
export function resetPeakMemory(): void {
  addon().resetPeakMemory();
}

/** The bytes that the allocator counts for a tensor of so many bytes. */
export function blockBytes(bytes: number): number {
  return addon().blockBytes(bytes);
}

/** Gives freed blocks back to the system, those on GPUs too. */
export function emptyCache(): void {
  addon().emptyCache();
}

/** Threads that libtorch uses for one operator; `SPIKENODE_NUM_THREADS` sets the start. */
export function getNumThreads(): number {
  return addon().getNumThreads();
}

/** Sets the threads that libtorch uses for one operator. @param count between 1 and 1024 */
export function setNumThreads(count: number): void {
  addon().setNumThreads(count);
}

/** The number of CUDA devices; 0 where libtorch is a CPU build. */
export function cudaDeviceCount(): number {
  return addon().cudaDeviceCount();
}

/** Waits until a GPU has done what it was given so far; a CPU has already. @throws TorchError without the device */
export function synchronize(device: Device = 'cuda'): void {
  addon().synchronize(device);
}

/** Whether there is a CUDA device that libtorch can use. */
export function cudaIsAvailable(): boolean {
  return cudaDeviceCount() > 0;
}

/** The version of libtorch, `2.13.0`. */
export function libtorchVersion(): string {
  return addon().version();
}

/**
 * The door to every operator of libtorch, by name and overload, outside the promise that nothing crashes: some
 * operators read out of bounds or write files on bad arguments. The function takes the arguments in schema order,
 * Tensors among them, and gives Tensors back.
 */
export function unsafeOperator(name: string, overload = ''): (...args: unknown[]) => unknown {
  if (typeof name !== 'string') throw argumentError('unsafeOperator', 'name', 'a string', name);
  const operator = new Operator(name, overload);
  const native = operator.bound();
  const schema = native.schemas().find((entry) => entry.name === name && entry.overload === overload);
  const returns = schema?.returns ?? [];
  const unwrap = (value: unknown): unknown => {
    if (isTensor(value)) return handleOf(value);
    return Array.isArray(value) ? value.map(unwrap) : value;
  };
  const wrapOne = (value: unknown, type: string): unknown => {
    if (value === null || value === undefined) return value;
    if (type === 'Tensor' || type === 'Optional[Tensor]' || type === 'Tensor?')
      return fromHandle(value as number);
    return Array.isArray(value) && type.includes('Tensor')
      ? value.map((item) => wrapOne(item, 'Tensor'))
      : value;
  };
  return (...args) => {
    // A bare number must not pass for a tensor's handle.
    args.forEach((value, index) => {
      const type = schema?.arguments[index]?.type ?? '';
      if (type.includes('Tensor')) requireTensors(value, name, schema?.arguments[index]?.name ?? '');
    });
    const result = native.call(operator.id, ...args.map(unwrap));
    if (returns.length === 1) return wrapOne(result, returns[0]?.type ?? '');
    return Array.isArray(result)
      ? result.map((value, index) => wrapOne(value, returns[index]?.type ?? ''))
      : result;
  };
}

function requireTensors(value: unknown, op: string, argument: string): void {
  if (value === null || value === undefined || isTensor(value)) return;
  if (!Array.isArray(value)) throw argumentError(op, argument, 'a Tensor', value);
  for (const item of value) requireTensors(item, op, argument);
}
