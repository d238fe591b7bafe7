import type { Layer } from '../nn/index.js';
import type { ParameterTable } from '../parameters.js';
import { IFNode } from './integrate-fire.js';
import { LIFNode } from './lif.js';
import { ParametricLIFNode } from './parametric-lif.js';

/** A class of neurons that configurations can name; its options are those of its table, in camelCase. */
export interface NeuronClass {
  // biome-ignore lint/suspicious/noExplicitAny: each class has options of its own; its table checks them
  new (options?: any): Layer;
  readonly parameters: ParameterTable;
}

/** Neurons by the names that configurations use. */
export type NeuronKinds = Readonly<Record<string, NeuronClass>>;

/** The neurons of the field; searched first. */
export const standardNeurons: NeuronKinds = { IFNode, LIFNode, ParametricLIFNode };

/** Neurons with learned thresholds and the like; searched second. */
export const customNeurons: NeuronKinds = {};

/** Neurons that compute in integers; searched third. Their tables have `quantParams`. */
export const quantizedNeurons: NeuronKinds = {};
