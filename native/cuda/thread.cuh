// A thread owns one neuron through all steps, with the state in registers, so that neighbouring
// threads read and write neighbouring addresses.
#pragma once

#include "cuda/launch.h"

namespace spikenode::cuda {

constexpr int threads_per_block = 256;

template <class T>
__device__ __forceinline__ const T* row(const void* base, long t, long stride) {
  return static_cast<const T*>(base) + t * stride;
}
template <class T>
__device__ __forceinline__ T* row(void* base, long t, long stride) {
  return static_cast<T*>(base) + t * stride;
}
__device__ __forceinline__ long neuron_index() {
  return static_cast<long>(blockIdx.x) * threads_per_block + threadIdx.x;
}
inline unsigned blocks(long neurons) {
  return static_cast<unsigned>((neurons + threads_per_block - 1) / threads_per_block);
}

}  // namespace spikenode::cuda
