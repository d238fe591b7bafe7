export { Adam, type AdamOptions, AdamW, type AdamWOptions } from './adam.js';
export { epochOrder } from './batches.js';
export {
  type OptimizerClass,
  type OptimizerConfig,
  optimizers,
  type ResolvedFramework,
  type ResolvedOptimizer,
  resolveFramework,
  resolveOptimizer,
  type SchedulerClass,
  schedulers,
} from './configuration.js';
export {
  type ConfusionReport,
  type EvaluateOptions,
  type Evaluation,
  evaluate,
  type InferenceOptions,
  predict,
} from './evaluate.js';
export { type EpochMetrics, type FitOptions, type FitResult, fit, type StepInfo } from './fit.js';
export {
  type CheckpointMetric,
  Framework,
  type FrameworkClass,
  type FrameworkOptions,
  frameworks,
  requireStepMode,
  SpikingJelly,
  SpikingJellyMultiStep,
  SpikingJellyMultiStepTimeStepsInData,
  SpikingJellyTimeStepsInData,
} from './framework.js';
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
  Optimizer,
  type OptimizerStateDict,
  type ParameterGroup,
  type ParameterGroupOptions,
} from './optimizer.js';
export {
  loadSafetensors,
  parseSafetensors,
  saveSafetensors,
  serializeSafetensors,
} from './safetensors.js';
export { SafetensorsError, type SafetensorsFault } from './safetensors-header.js';
export {
  CosineAnnealingLR,
  type CosineAnnealingLROptions,
  MultiStepLR,
  type MultiStepLROptions,
  type Scheduled,
  Scheduler,
  type SchedulerStateDict,
  StepLR,
  type StepLROptions,
} from './scheduler.js';
export { SGD, type SGDOptions } from './sgd.js';
