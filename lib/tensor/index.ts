export { type AutocastOptions, autocast, isAutocastEnabled } from './autocast.js';
export * from './operators.generated.js';
export type { KeepOwner, Owner } from './owner.js';
export { Generator, getRngState, manualSeed, setRngState } from './random.js';
export {
  cudaDeviceCount,
  cudaIsAvailable,
  type DeviceMemory,
  emptyCache,
  getNumThreads,
  libtorchVersion,
  type MemoryReport,
  memory,
  type OwnedMemory,
  resetPeakMemory,
  setNumThreads,
  synchronize,
  unsafeOperator,
} from './runtime.js';
export { Scope } from './scope.js';
export {
  type BackwardOptions,
  enableGrad,
  isGradEnabled,
  isTensor,
  keep,
  noGrad,
  Tensor,
  type TensorOptions,
  type ToOptions,
  tensor,
  tidy,
} from './tensor.js';
export type * from './types.js';
