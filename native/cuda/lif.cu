#include "cuda/driver.cuh"
#include "neuron/lif.h"

namespace spikenode::cuda {
const KernelFamily lif = kernels_of<Lif>();
}  // namespace spikenode::cuda
