import { Flatten, integer, Linear, list, parameter, registerModel, Sequential, SNN } from 'spikenode';

// A network of one's own: each Linear is followed by a neuron, the last one too, so that the output of a class is the
// firing rate of its neuron, between 0 and 1.
class RateNet extends SNN {
  // What a configuration gives in `params`; checked before anything is trained.
  static parameters = { ...SNN.parameters, units: parameter('units', list(integer(1))) };

  constructor(options) {
    super(options);
    const { stepMode } = this;
    // inputShape begins with the time steps.
    const inputs = this.inputShape.slice(1).reduce((product, size) => product * size, 1);
    const sizes = [inputs, ...options.units, this.outputShape[0]];
    const layers = sizes
      .slice(1)
      .flatMap((size, i) => [new Linear(sizes[i], size, { stepMode }), this.createNeuron()]);
    this.layers = new Sequential(new Flatten({ stepMode }), ...layers);
  }

  forward(x) {
    return this.layers.forward(x);
  }
}

registerModel('RateNet', RateNet);
