// A caching allocator for CPU tensors, registered once per process and leaked on purpose. No
// Node-API here: the C++ benchmarks use the same one.
#pragma once

#include <cstdint>

namespace spikenode {

struct AllocatorStatistics {
  int64_t live_bytes;
  int64_t cached_bytes;
  int64_t peak_bytes;
  int64_t limit_bytes;
};

void install_caching_allocator();
AllocatorStatistics allocator_statistics();
// Gives cached blocks back to the system; live tensors are untouched.
void empty_cache();

}  // namespace spikenode
