export { Adam, type AdamOptions, AdamW, type AdamWOptions } from './adam.js';
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
  type SchedulerClass,
  schedulers,
} from './configuration.js';
export { EarlyStopping, type EarlyStoppingOptions } from './early-stopping.js';
export { type EvaluateOptions, evaluate, type InferenceOptions, predict } from './evaluate.js';
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
  requireStepMode,
  SpikingJelly,
  SpikingJellyMultiStep,
  SpikingJellyMultiStepTimeStepsInData,
  SpikingJellyTimeStepsInData,
} from './framework.js';
export type { KindConfig } from './kind.js';
export { CrossEntropy, type Loss, type LossClass, losses, MeanSquaredError } from './loss.js';
export { ConfusionMatrix, type MetricName, metric, metricNames } from './metrics.js';
export {
  Optimizer,
  type OptimizerStateDict,
  type ParameterGroup,
  type ParameterGroupOptions,
} from './optimizer.js';
export {
  loadSafetensors,
  SafetensorsError,
  type SafetensorsFault,
  saveSafetensors,
} from './safetensors.js';
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
