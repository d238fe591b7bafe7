export { epochOrder } from './batches.js';
export type { CheckpointOptions } from './checkpoint.js';
export {
  type OptimizerClass,
  type OptimizerConfig,
  optimizers,
  type ResolvedFramework,
  type ResolvedOptimizer,
  resolveFramework,
  resolveOptimizer,
  type SchedulerConfig,
} from './configuration.js';
export { EarlyStopping, type EarlyStoppingOptions } from './early-stopping.js';
export {
  type ConfusionReport,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  type InferenceOptions,
  type PredictOptions,
  predict,
} from './evaluate.js';
export {
  type EpochMetrics,
  type FitOptions,
  type FitResult,
  fit,
  type ResumeInfo,
  type StepInfo,
} from './fit.js';
export {
  type CheckpointMetric,
  Framework,
  type FrameworkClass,
  type FrameworkOptions,
  frameworks,
  type Precision,
  requireStepMode,
  SpikingJelly,
  SpikingJellyMultiStep,
  SpikingJellyMultiStepTimeStepsInData,
  SpikingJellyTimeStepsInData,
} from './framework.js';
export { GradScaler, type GradScalerOptions, type GradScalerState } from './grad-scaler.js';
export type { KindConfig } from './kind.js';
export {
  CrossEntropy,
  type CrossEntropyParameters,
  type Loss,
  type LossClass,
  type LossParameters,
  losses,
  MeanSquaredError,
} from './loss.js';
export {
  type Average,
  type ClassCounts,
  type ClassMetric,
  ConfusionMatrix,
  defaultMetrics,
  type ErrorMetric,
  ErrorSums,
  type MetricName,
  metric,
  metricNames,
} from './metrics.js';
export {
  type Bucket,
  type CommonParameters,
  type Hyperparameters,
  type ImplementationOptions,
  type InitialState,
  type Optimized,
  Optimizer,
  type OptimizerStateDict,
  type ParameterGroup,
  type ParameterGroupOptions,
  type ParameterState,
  type SavedGroup,
} from './optimizer.js';
export { Adadelta, type AdadeltaOptions } from './optimizers/adadelta.js';
export { Adagrad, type AdagradOptions } from './optimizers/adagrad.js';
export { Adam, type AdamOptions, AdamW, type AdamWOptions } from './optimizers/adam.js';
export { Adamax, type AdamaxOptions } from './optimizers/adamax.js';
export { ASGD, type ASGDOptions } from './optimizers/asgd.js';
export { NAdam, type NAdamOptions } from './optimizers/nadam.js';
export { RAdam, type RAdamOptions } from './optimizers/radam.js';
export { RMSprop, type RMSpropOptions } from './optimizers/rmsprop.js';
export { Rprop, type RpropOptions } from './optimizers/rprop.js';
export { SGD, type SGDOptions } from './optimizers/sgd.js';
export {
  loadSafetensors,
  type NamedTensors,
  parseSafetensors,
  saveSafetensors,
  serializeSafetensors,
} from './safetensors.js';
export { SafetensorsError, type SafetensorsFault } from './safetensors-header.js';
export {
  type Scheduled,
  Scheduler,
  type SchedulerInterval,
  type SchedulerStateDict,
} from './scheduler.js';
export {
  CosineAnnealingLR,
  type CosineAnnealingLROptions,
  CosineAnnealingWarmRestarts,
  type CosineAnnealingWarmRestartsOptions,
} from './schedulers/cosine.js';
export {
  CyclicLR,
  type CyclicLROptions,
  OneCycleLR,
  type OneCycleLROptions,
  type PerGroup,
} from './schedulers/cycle.js';
export {
  ConstantLR,
  type ConstantLROptions,
  ExponentialLR,
  type ExponentialLROptions,
  LambdaLR,
  type LambdaLROptions,
  LinearLR,
  type LinearLROptions,
  type LRLambda,
  MultiStepLR,
  type MultiStepLROptions,
  PolynomialLR,
  type PolynomialLROptions,
  SinDescent,
  type SinDescentOptions,
  StepLR,
  type StepLROptions,
} from './schedulers/decay.js';
export { ReduceLROnPlateau, type ReduceLROnPlateauOptions } from './schedulers/plateau.js';
export {
  ChainedScheduler,
  type ChainedSchedulerOptions,
  type SchedulerClass,
  type SchedulerPart,
  SequentialLR,
  type SequentialLROptions,
  schedulers,
} from './schedulers/sequence.js';
