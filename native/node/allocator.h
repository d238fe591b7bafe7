// A caching allocator for CPU tensors, registered once per process and leaked on purpose. No
// Node-API here: the C++ benchmarks use the same one.
#pragma once

#include <cstdint>

namespace spikenode {

/// Bytes as rounded up to the size classes; all 0 where the system's allocator is in use.
struct AllocatorStatistics {
  int64_t live_bytes;
  int64_t cached_bytes;
  int64_t peak_bytes;  ///< the largest live_bytes since the start or the last reset_peak()
  int64_t limit_bytes;
  int64_t allocations;      ///< blocks handed out since the start
  int64_t allocated_bytes;  ///< their bytes, those that were freed since among them
};

/// Registers the allocator; further calls do nothing. SPIKENODE_ALLOCATOR=system leaves libtorch's
/// own in place. The limit on live bytes is SPIKENODE_MEMORY_LIMIT (bytes, or with a suffix K, M,
/// G), by default 90 % of the smaller of the cgroup's limit and the machine's memory. Throws
/// c10::ValueError where one of the two variables is malformed.
void install_caching_allocator();
AllocatorStatistics allocator_statistics();
/// The peak becomes what is live now.
void reset_peak();
/// The bytes that a block of n bytes takes: n rounded up to its size class.
int64_t block_bytes(int64_t n);
/// Gives cached blocks back to the system; live tensors are untouched.
void empty_cache();

}  // namespace spikenode
