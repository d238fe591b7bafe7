#pragma once

#include <optional>
#include <tuple>

#include "neuron/parameters.h"
#include "ops/arguments.h"

namespace spikenode {

/// What the operator `parametric_lif` has of its own (W. Fang et al. 2021): the learnable `w`, a
/// number or a tensor that broadcasts over the neurons, with 1 / tau = sigmoid(w); and whether the
/// input decays with the membrane.
struct ParametricLifSchema {
  static constexpr const char* name = "parametric_lif";
  static constexpr const char* schema = "Tensor w, bool decay_input=True, ";
  using Own = std::tuple<const at::Tensor&, bool>;
  static constexpr const char* rate_name = "w";

  static void set(NeuronParameters& parameters, const at::Tensor&, bool decay_input) {
    parameters.multiply = true;
    parameters.decay_input = decay_input;
  }
  static at::Tensor rate_tensor(const at::Tensor& w, bool) { return w; }
};

}  // namespace spikenode
