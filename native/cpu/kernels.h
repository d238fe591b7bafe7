// The plain-data interface between the operators and the kernels, which are compiled once for every
// instruction set. Includes no C++ standard header.
#pragma once

#include "neuron/parameters.h"

namespace spikenode {

/// What the numbers of a sequence are stored as. Float and Double are computed with as they are,
/// the others in float.
enum class Storage { Float, Double, BFloat16, Float16 };
inline constexpr int storage_count = 4;

/// A parameter of one value for each neuron: element i * stride, or null for the number in
/// NeuronParameters. The stride is 0 or 1, and always 1 on the CPU.
struct PerNeuron {
  const void* data = nullptr;
  long stride = 1;
};

/// Without a saved membrane backward computes it again from the input, this many steps at a time;
/// forward saves the state before each chunk but the first.
inline constexpr long chunk_steps = 16;

/// All sequences are [T, N] with neurons adjacent; `*_stride` is the distance of two steps in
/// elements, 0 where a tensor is expanded in time, N for the outputs. Sequences of the input's
/// dtype are of type `storage`, everything else is of the type that is computed with.
struct ForwardCall {
  NeuronParameters parameters;
  Storage storage;
  long steps, neurons;
  PerNeuron tau, rate, threshold;
  const void* x;
  long x_stride;
  const void* v;
  void* s;
  void* v_out;
  void* v_seq;        ///< membrane after the reset, or null
  void* h_seq;        ///< charged membrane, saved for backward, or null
  void* checkpoints;  ///< [chunks - 1, N], saved for backward instead, or null
};

struct BackwardCall {
  NeuronParameters parameters;
  Storage storage;
  long steps, neurons;
  PerNeuron tau, rate, threshold;
  const void* h;  ///< null: from x and the checkpoints
  long h_stride;
  const void* x;  ///< null where h is there
  long x_stride;
  const void* checkpoints;  ///< null where one chunk is all
  const void* v;            ///< the initial state; null if nobody needs it
  const void* grad_s;
  long grad_s_stride;
  const void* grad_v_seq;  ///< or null
  long grad_v_seq_stride;
  void* grad_x;          ///< may be h itself, or null
  void* grad_v;          ///< gradient of the final membrane on entry, of the initial one on return
  void* grad_rate;       ///< [N], or null: see grad_rate in neuron/
  void* grad_threshold;  ///< [N], or null
};

/// One neuron model on one instruction set. Neurons [begin, end) are processed for all steps;
/// `past_caches` says that the results are larger than the caches. The plain kernels, whose first
/// index is 0 for float and 1 for double, take numbers as parameters and spike; the general ones,
/// by storage, do all that a call can ask for.
struct Kernels {
  void (*forward[2])(const ForwardCall&, long begin, long end, bool past_caches);
  void (*backward[2][surrogate_count])(const BackwardCall&, long begin, long end, bool past_caches);
  void (*general_forward[storage_count])(const ForwardCall&, long begin, long end);
  void (*general_backward[storage_count])(const BackwardCall&, long begin, long end);
};

struct KernelFamily {
  const Kernels* baseline;
  const Kernels* avx2;    ///< null where not built
  const Kernels* avx512;  ///< null where not built
};

}  // namespace spikenode
