// What the glue asks of the CUDA kernels: plain data and a stream, no torch.
#pragma once

#include <cuda_runtime_api.h>

#include "cpu/kernels.h"

namespace spikenode::cuda {

/// One neuron model. The pointers of a call are device memory. The result is what cudaGetLastError
/// said after the launch. Plain and general are as on the CPU; see cpu/kernels.h.
struct KernelFamily {
  cudaError_t (*forward[2])(const ForwardCall&, cudaStream_t);
  cudaError_t (*backward[2][surrogate_count])(const BackwardCall&, cudaStream_t);
  cudaError_t (*general_forward[storage_count])(const ForwardCall&, cudaStream_t);
  cudaError_t (*general_backward[storage_count])(const BackwardCall&, cudaStream_t);
};

cudaError_t forward(const KernelFamily& family, const ForwardCall& call, cudaStream_t stream);
cudaError_t backward(const KernelFamily& family, const BackwardCall& call, cudaStream_t stream);

extern const KernelFamily integrate_fire;
extern const KernelFamily lif;

}  // namespace spikenode::cuda
