import { Flatten, type Layer, Linear, ModuleDict } from '../nn/index.js';
import { integer, list, type ParameterTable, parameter } from '../parameters.js';
import { resolveModelOptions, SNN, type SNNOptions } from '../snn.js';
import type { Tensor } from '../tensor/index.js';

export interface SMLPOptions extends SNNOptions {
  /** Neurons of each hidden layer; may be empty. */
  readonly units: readonly number[];
}

/**
 * Spiking multi-layer perceptron: for each entry of `units` a Linear and a neuron, then a Linear to the classes, whose
 * output has no neuron. Layers are `flatten1`, `fc1`, `neuron1`, `fc2`, ...
 */
export class SMLP extends SNN {
  static override readonly parameters: ParameterTable = {
    ...SNN.parameters,
    units: parameter('units', list(integer(1))),
  };

  readonly layers: ModuleDict<Layer>;

  /** @throws ConfigError */
  constructor(options: SMLPOptions) {
    const { units } = resolveModelOptions<SMLPOptions>(SMLP, options, new.target);
    super(options);
    const { stepMode } = this;
    this.layers = new ModuleDict<Layer>({ flatten1: new Flatten({ stepMode }) });
    let features = this.inputShape.slice(1).reduce((product, size) => product * size, 1);
    units.forEach((size, index) => {
      this.layers.set(`fc${index + 1}`, new Linear(features, size, { stepMode }));
      this.layers.set(`neuron${index + 1}`, this.createNeuron());
      features = size;
    });
    const classes = this.outputShape[0] as number;
    this.layers.set(`fc${units.length + 1}`, new Linear(features, classes, { stepMode }));
  }

  /** `[N, *]` -> logits `[N, classes]`; in step mode 'm' `[T, N, *]` -> `[T, N, classes]`. */
  override forward(x: Tensor): Tensor {
    let y = x;
    for (const layer of this.layers.values()) y = layer.forward(y);
    return y;
  }
}
