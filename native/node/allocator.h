// A caching allocator for CPU tensors, registered once per process and leaked on purpose. No
// Node-API here: the C++ benchmarks use the same one.
#pragma once

#include <cstdint>

namespace spikenode {

/// Bytes as rounded up to the size classes; all 0 where the system's allocator is in use.
struct AllocatorStatistics {
  int64_t live_bytes;
  int64_t cached_bytes;
  int64_t peak_bytes;  ///< the largest live_bytes so far
  int64_t limit_bytes;
};

/// Registers the allocator; further calls do nothing. SPIKENODE_ALLOCATOR=system leaves libtorch's
/// own in place. The limit on live bytes is SPIKENODE_MEMORY_LIMIT (bytes, or with a suffix K, M,
/// G), by default 90 % of the smaller of the cgroup's limit and the machine's memory. Throws
/// c10::ValueError where one of the two variables is malformed.
void install_caching_allocator();
AllocatorStatistics allocator_statistics();
/// Gives cached blocks back to the system; live tensors are untouched.
void empty_cache();

}  // namespace spikenode
