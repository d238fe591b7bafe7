// Autocast, thread-local in libtorch: the regions of one environment, and what a job takes along.
#pragma once

#include <c10/core/ScalarType.h>

#include <array>

namespace spikenode::node {

struct AutocastState {
  struct Device {
    bool enabled;
    c10::ScalarType dtype;
  };
  std::array<Device, 2> devices;  // cpu, cuda
  bool cache_enabled;

  static AutocastState current();
  // For the calling thread.
  void apply() const;
};

}  // namespace spikenode::node
