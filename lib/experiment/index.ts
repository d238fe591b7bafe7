export type { Experiment, ExperimentModel, Shapes } from './check.js';
export { checkExperiment, readExperiment } from './experiment.js';
export { type LoadedRun, loadRun, type MetricsRecord } from './folder.js';
export type {
  BenchSection,
  CheckpointSection,
  ComponentConfig,
  EarlyStoppingSection,
  ExperimentConfig,
  ModelSection,
  OptimizerSection,
  SchedulerSection,
} from './format.js';
export {
  type Part,
  type RunEvent,
  type RunOptions,
  type RunResult,
  runExperiment,
  shapesOf,
} from './run.js';
