// Registers the CUDA kernels of the operators that libspikenode has declared.
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "cuda/launch.h"
#include "ops/integrate_fire.h"
#include "ops/lif.h"
#include "ops/membrane.h"
#include "ops/parametric_lif.h"

namespace spikenode {
namespace {

// Launches on the current stream of the tensors' device; nothing here waits or allocates, so a call
// can be captured in a CUDA graph.
template <class Schema, const cuda::KernelFamily& kernels>
struct OnCuda : Schema {
  static void forward(const ForwardCall& call, const Tensor& like) {
    const c10::cuda::CUDAGuard guard(like.device());
    C10_CUDA_CHECK(cuda::forward(kernels, call, c10::cuda::getCurrentCUDAStream()));
  }
  static void backward(const BackwardCall& call, const Tensor& like) {
    const c10::cuda::CUDAGuard guard(like.device());
    C10_CUDA_CHECK(cuda::backward(kernels, call, c10::cuda::getCurrentCUDAStream()));
  }
};

}  // namespace

TORCH_LIBRARY_IMPL(spikenode, CUDA, library) {
  const auto key = c10::DispatchKey::CUDA;
  MembraneOperators<OnCuda<IntegrateFireSchema, cuda::integrate_fire>>::implement(library, key);
  MembraneOperators<OnCuda<LifSchema, cuda::lif>>::implement(library, key);
  MembraneOperators<OnCuda<ParametricLifSchema, cuda::lif>>::implement(library, key);
}

}  // namespace spikenode
