#include "neuron/lif.h"

#include "cpu/driver.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {
extern const Kernels lif_kernels;
constexpr Kernels lif_kernels = kernels_of<Lif>();
}  // namespace SPIKENODE_ISA
}  // namespace spikenode
