#include "cuda/driver.cuh"
#include "neuron/integrate_fire.h"

namespace spikenode::cuda {
const KernelFamily integrate_fire = kernels_of<IntegrateFire>();
}  // namespace spikenode::cuda
