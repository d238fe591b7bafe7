// What one call of a neuron operator is parametrised by: plain data, passed as it is through every
// floor from the operator to the kernel.
#pragma once

#include "neuron/surrogates.h"

namespace spikenode {

struct NeuronParameters {
  double tau = 2;             ///< membrane time constant in steps
  double rate = .5;           ///< of the leak in a step, in place of tau where `multiply`
  bool multiply = false;      ///< the charge multiplies by the rate, else it divides by tau
  double v_threshold = 1;     ///< fires where h - v_threshold >= 0
  double v_reset = 0;         ///< hard reset to this; unused by a soft reset
  bool hard_reset = true;     ///< else the threshold is subtracted
  bool detach_reset = false;  ///< no gradient through the spike into the reset
  bool decay_input = true;    ///< the input decays with the membrane
  bool spiking = true;        ///< else the spike is the surrogate's primitive (smooth mode)
  SurrogateKind surrogate = SurrogateKind::Sigmoid;
  double surrogate_parameters[2] = {4, 0};
};

}  // namespace spikenode
