#pragma once

#include <tuple>

#include "neuron/parameters.h"
#include "ops/arguments.h"

namespace spikenode {

/// What the operator `lif` has of its own: the membrane time constant in steps, and whether the
/// input decays with the membrane.
struct LifSchema {
  static constexpr const char* name = "lif";
  static constexpr const char* schema = "float tau=2., bool decay_input=True, ";
  using Own = std::tuple<double, bool>;
  static void set(NeuronParameters& parameters, const char* op, double tau, bool decay_input) {
    check_above_one(op, "tau", tau);
    parameters.tau = tau;
    parameters.decay_input = decay_input;
  }
};

}  // namespace spikenode
