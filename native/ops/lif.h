#pragma once

#include <optional>
#include <tuple>

#include "neuron/parameters.h"
#include "ops/arguments.h"

namespace spikenode {

/// What the operator `lif` has of its own: the membrane time constant in steps, as a number or, if
/// `tau_tensor` is given, as a tensor that broadcasts over the neurons; and whether the input
/// decays with the membrane.
struct LifSchema {
  static constexpr const char* name = "lif";
  static constexpr const char* schema =
      "float tau=2., bool decay_input=True, Tensor? tau_tensor=None, ";
  using Own = std::tuple<double, bool, const std::optional<at::Tensor>&>;
  static constexpr const char* rate_name = "tau";

  static void set(NeuronParameters& parameters, double tau, bool decay_input,
                  const std::optional<at::Tensor>&) {
    check_above_one(name, "tau", tau);
    parameters.tau = tau;
    parameters.decay_input = decay_input;
  }
  static at::Tensor rate_tensor(double, bool, const std::optional<at::Tensor>& tau) {
    return tau.value_or(at::Tensor());
  }
};

}  // namespace spikenode
