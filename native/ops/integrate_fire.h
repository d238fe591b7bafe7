#pragma once

#include <tuple>

#include "neuron/parameters.h"
#include "ops/arguments.h"

namespace spikenode {

/// What the operator `integrate_fire` has of its own: nothing.
struct IntegrateFireSchema {
  static constexpr const char* name = "integrate_fire";
  static constexpr const char* schema = "";
  using Own = std::tuple<>;
  static constexpr const char* rate_name = "";
  static void set(NeuronParameters&) {}
  static at::Tensor rate_tensor() { return {}; }
};

}  // namespace spikenode
