#include "cuda/launch.h"

namespace spikenode::cuda {

cudaError_t forward(const KernelFamily& family, const ForwardCall& call, cudaStream_t stream) {
  const int storage = static_cast<int>(call.storage);
  return is_general(call) ? family.general_forward[storage](call, stream)
                          : family.forward[storage](call, stream);
}

cudaError_t backward(const KernelFamily& family, const BackwardCall& call, cudaStream_t stream) {
  const int storage = static_cast<int>(call.storage);
  const int surrogate = static_cast<int>(call.parameters.surrogate);
  return is_general(call) || sums_parameters(call)
             ? family.general_backward[storage](call, stream)
             : family.backward[storage][surrogate](call, stream);
}

}  // namespace spikenode::cuda
