// Chooses the instruction set and spreads the neurons over the threads of libtorch's pool.
#pragma once

#include "cpu/kernels.h"

namespace spikenode::cpu {

// One line for every neuron model; its kernels are defined in cpu/<name>.cc.
extern const KernelFamily integrate_fire;
extern const KernelFamily lif;

/// "baseline", "avx2" or "avx512": the best of this machine, or SPIKENODE_ISA.
const char* isa();

void forward(const KernelFamily& family, const ForwardCall& call);
void backward(const KernelFamily& family, const BackwardCall& call);

}  // namespace spikenode::cpu
