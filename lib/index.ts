/// <reference lib="esnext.disposable" preserve="true" />
/** spikenode: spiking neural networks, trained from TypeScript. */
export * from './data/index.js';
export * from './errors.js';
export * from './experiment/index.js';
export * from './layer/index.js';
export * from './models/index.js';
export * from './neuron/index.js';
export * from './nn/index.js';
export {
  finite,
  flag,
  integer,
  list,
  nullableReset,
  oneOf,
  type Parameter as ParameterCheck,
  type ParameterTable,
  parameter,
  positive,
  resolved,
  resolveParameters,
  text,
} from './parameters.js';
export { Registry } from './registry.js';
export {
  type NeuronConfig,
  neurons,
  type ResolvedNeuron,
  registerNeuron,
  resolveModelOptions,
  resolveNeuron,
  SNN,
  type SNNClass,
  type SNNOptions,
} from './snn.js';
export * from './surrogate/index.js';
export * from './tensor/index.js';
export * from './training/index.js';
