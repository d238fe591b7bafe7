// Registers the operators of this library: one line for every neuron.
#include <ATen/core/dispatch/Dispatcher.h>

#include "cpu/launch.h"
#include "ops/autograd.h"
#include "ops/integrate_fire.h"
#include "ops/lif.h"
#include "ops/parametric_lif.h"
#include "ops/surrogate_identity.h"

namespace spikenode {
namespace {

template <class Schema, const KernelFamily& kernels>
struct OnCpu : Schema {
  static void forward(const ForwardCall& call, const Tensor&) { cpu::forward(kernels, call); }
  static void backward(const BackwardCall& call, const Tensor&) { cpu::backward(kernels, call); }
};

template <class Schema, const KernelFamily& kernels>
void register_membrane(torch::Library& library) {
  using Family = OnCpu<Schema, kernels>;
  MembraneOperators<Family>::define(library);
  MembraneOperators<Family>::implement(library, c10::DispatchKey::CPU);
  // The shapes and layouts of the CPU; on meta tensors no kernel runs.
  MembraneOperators<Family>::implement(library, c10::DispatchKey::Meta);
  MembraneAutograd<Family>::implement(library);
}

bool registered = false;

}  // namespace

// A second copy in one process finds the schemas there and stays silent: an exception here would
// end the process inside dlopen. The loader asks for the flag.
TORCH_LIBRARY_FRAGMENT(spikenode, library) {
  if (c10::Dispatcher::singleton().findSchema({"spikenode::_isa", ""}).has_value()) return;
  library.def("_isa() -> str", [] { return std::string(cpu::isa()); });
  register_membrane<IntegrateFireSchema, cpu::integrate_fire>(library);
  register_membrane<LifSchema, cpu::lif>(library);
  register_membrane<ParametricLifSchema, cpu::lif>(library);
  register_surrogate_identity(library);
  registered = true;
}

}  // namespace spikenode

/// 1 if this copy of the library registered the operators, 0 if another had.
extern "C" __attribute__((visibility("default"))) int spikenode_registered() {
  return spikenode::registered ? 1 : 0;
}
