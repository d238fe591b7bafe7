// The plain-data interface between the operators and the kernels, which are compiled once for every
// instruction set. Includes no C++ standard header.
#pragma once

#include "neuron/parameters.h"

namespace spikenode {

/// All tensors are [T, N] with neurons adjacent; `*_stride` is the distance of two steps in
/// elements, 0 where a tensor is expanded in time, N for the outputs. Pointers are to float or
/// double.
struct ForwardCall {
  NeuronParameters parameters;
  long steps, neurons;
  const void* x;
  long x_stride;
  const void* v;
  void* s;
  void* v_out;
  void* v_seq;  ///< membrane after the reset, or null
  void* h_seq;  ///< charged membrane, saved for backward, or null
};

struct BackwardCall {
  NeuronParameters parameters;
  long steps, neurons;
  const void* h;
  long h_stride;
  const void* grad_s;
  long grad_s_stride;
  const void* grad_v_seq;  ///< or null
  long grad_v_seq_stride;
  void* grad_x;  ///< may be h itself, or null
  void* grad_v;  ///< gradient of the final membrane on entry, of the initial one on return
};

/// One neuron model on one instruction set; the index is 0 for float, 1 for double. Neurons
/// [begin, end) are processed for all steps; `past_caches` says that the results are larger than
/// the caches.
struct Kernels {
  void (*forward[2])(const ForwardCall&, long begin, long end, bool past_caches);
  void (*backward[2][surrogate_count])(const BackwardCall&, long begin, long end, bool past_caches);
};

struct KernelFamily {
  const Kernels* baseline;
  const Kernels* avx2;    ///< null where not built
  const Kernels* avx512;  ///< null where not built
};

}  // namespace spikenode
