// Registers the operators of this library: one line for every neuron.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/version.h>

#include <cstdio>

#include "cpu/launch.h"
#include "ops/autograd.h"
#include "ops/integrate_fire.h"
#include "ops/lif.h"
#include "ops/parametric_lif.h"
#include "ops/surrogate_identity.h"

/// The version of the libtorch that runs, laid out as TORCH_ABI_VERSION; libtorch_cpu exports it.
extern "C" uint64_t aoti_torch_abi_version();

namespace spikenode {
namespace {

// Another minor may define every symbol that we import and still have other classes: torch 2.14
// does for a build against 2.13.
bool is_torch_of_build() {
  constexpr int kBelowMinor = 48;
  return aoti_torch_abi_version() >> kBelowMinor == TORCH_ABI_VERSION >> kBelowMinor;
}

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
// end the process inside dlopen. The loader asks for the flag, and for the version before; Python
// has nobody who asks.
TORCH_LIBRARY_FRAGMENT(spikenode, library) {
  if (!is_torch_of_build()) {
    const uint64_t version = aoti_torch_abi_version();
    std::fprintf(stderr,
                 "spikenode: libspikenode.so was built for torch %d.%d, this is torch %d.%d; its "
                 "operators are not registered\n",
                 TORCH_VERSION_MAJOR, TORCH_VERSION_MINOR, static_cast<int>(version >> 56 & 0xff),
                 static_cast<int>(version >> 48 & 0xff));
    return;
  }
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
