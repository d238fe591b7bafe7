import { Flatten, Linear } from '../nn/index.js';
import { integer, list, type ParameterTable, parameter } from '../parameters.js';
import { resolveModelOptions, SNN, type SNNOptions } from '../snn.js';
import { LayeredSNN } from './layered.js';

/** Options of `SMLP`. */
export interface SMLPOptions extends SNNOptions {
  /** Neurons of each hidden layer; may be empty. */
  readonly units: readonly number[];
}

/**
 * Spiking multi-layer perceptron: for each entry of `units` a Linear and a neuron, then a Linear to the classes, whose
 * output has no neuron. Layers are `flatten1`, `fc1`, `neuron1`, `fc2`, ...
 */
export class SMLP extends LayeredSNN {
  static override readonly parameters: ParameterTable = {
    ...SNN.parameters,
    units: parameter('units', () => list(integer(1))),
  };

  /** @throws ConfigError */
  constructor(options: SMLPOptions) {
    const { units } = resolveModelOptions<SMLPOptions>(SMLP, options, new.target);
    super(options);
    const { stepMode, layers } = this;
    layers.set('flatten1', new Flatten({ stepMode }));
    let features = this.inputShape.slice(1).reduce((product, size) => product * size, 1);
    units.forEach((size, index) => {
      layers.set(`fc${index + 1}`, new Linear(features, size, { stepMode }));
      layers.set(`neuron${index + 1}`, this.createNeuron());
      features = size;
    });
    const classes = this.outputShape[0] as number;
    layers.set(`fc${units.length + 1}`, new Linear(features, classes, { stepMode }));
  }
}
