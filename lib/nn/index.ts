export type { Size } from './arguments.js';
export { BatchNorm1d, BatchNorm2d, type BatchNormOptions } from './batch-norm.js';
export { type ClipGradNormOptions, clipGradNorm, clipGradValue } from './clip-grad.js';
export { ModuleDict, ModuleList, Sequential } from './containers.js';
export { Conv1d, Conv2d, type ConvOptions, type PaddingMode } from './conv.js';
export { Flatten, type FlattenOptions } from './flatten.js';
export * as init from './init.js';
export { Linear, type WeightOptions } from './linear.js';
export {
  CrossEntropyLoss,
  type CrossEntropyOptions,
  crossEntropy,
  type LossOptions,
  MSELoss,
} from './loss.js';
export { type ForwardHook, type ForwardPreHook, type HookHandle, type Layer, Module } from './module.js';
export { Buffer, Parameter } from './parameter.js';
export {
  AdaptiveAvgPool1d,
  AdaptiveAvgPool2d,
  AvgPool1d,
  AvgPool2d,
  type AvgPool2dOptions,
  type AvgPoolOptions,
  GlobalSumPool1d,
  GlobalSumPool2d,
  MaxPool1d,
  MaxPool2d,
  type MaxPoolOptions,
  type PoolOptions,
} from './pooling.js';
export type { LoadResult, StateDict } from './state-dict.js';
export {
  applyRepeated,
  overTime,
  StatelessLayer,
  type StepMode,
  StepModule,
  type StepOptions,
} from './step-module.js';
