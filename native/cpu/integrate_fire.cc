#include "neuron/integrate_fire.h"

#include "cpu/driver.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {
extern const Kernels integrate_fire_kernels;
constexpr Kernels integrate_fire_kernels = kernels_of<IntegrateFire>();
}  // namespace SPIKENODE_ISA
}  // namespace spikenode
