#pragma once

#include <tuple>

#include "neuron/parameters.h"

namespace spikenode {

/// What the operator `integrate_fire` has of its own: nothing.
struct IntegrateFireSchema {
  static constexpr const char* name = "integrate_fire";
  static constexpr const char* schema = "";
  using Own = std::tuple<>;
  static void set(NeuronParameters&, const char*) {}
};

}  // namespace spikenode
