// What the glue asks of the CUDA kernels: plain data and a stream, no torch.
#pragma once

#include <cuda_runtime_api.h>

#include "cpu/kernels.h"

namespace spikenode::cuda {

/// One neuron model; the index is 0 for float, 1 for double. The pointers of the call are device
/// memory. The result is what cudaGetLastError said after the launch.
struct KernelFamily {
  cudaError_t (*forward[2])(const ForwardCall&, cudaStream_t);
  cudaError_t (*backward[2][surrogate_count])(const BackwardCall&, cudaStream_t);
};

extern const KernelFamily integrate_fire;
extern const KernelFamily lif;

}  // namespace spikenode::cuda
