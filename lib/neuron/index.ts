export {
  type Backend,
  BaseNode,
  type BaseNodeOptions,
  type BaseNodeParameters,
  baseParameters,
  type MembraneArguments,
  type MembraneResult,
} from './base.js';
export { IFNode } from './integrate-fire.js';
export {
  customNeurons,
  type NeuronClass,
  type NeuronKinds,
  quantizedNeurons,
  standardNeurons,
} from './kinds.js';
export { LIFNode, type LIFNodeOptions } from './lif.js';
export { ParametricLIFNode, type ParametricLIFNodeOptions } from './parametric-lif.js';
