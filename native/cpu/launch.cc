#include "cpu/launch.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace spikenode {

#if defined(SPIKENODE_X86)
#define SPIKENODE_FAMILY(name)                                                      \
  namespace baseline {                                                              \
  extern const Kernels name##_kernels;                                              \
  }                                                                                 \
  namespace avx2 {                                                                  \
  extern const Kernels name##_kernels;                                              \
  }                                                                                 \
  namespace avx512 {                                                                \
  extern const Kernels name##_kernels;                                              \
  }                                                                                 \
  const KernelFamily cpu::name = {&baseline::name##_kernels, &avx2::name##_kernels, \
                                  &avx512::name##_kernels};
#else
#define SPIKENODE_FAMILY(name)         \
  namespace baseline {                 \
  extern const Kernels name##_kernels; \
  }                                    \
  const KernelFamily cpu::name = {&baseline::name##_kernels, nullptr, nullptr};
#endif
SPIKENODE_FAMILY(integrate_fire)
SPIKENODE_FAMILY(lif)
#undef SPIKENODE_FAMILY

namespace cpu {
namespace {

enum class Isa { baseline, avx2, avx512 };

Isa best_isa() {
#if defined(SPIKENODE_X86)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2")) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa choose_isa() {
  const Isa best = best_isa();
  const char* wanted = std::getenv("SPIKENODE_ISA");
  if (wanted == nullptr || *wanted == '\0') return best;
  const std::string_view name = wanted;
  const Isa isa = name == "baseline" ? Isa::baseline
                  : name == "avx2"   ? Isa::avx2
                  : name == "avx512" ? Isa::avx512
                                     : Isa(-1);
  TORCH_CHECK_VALUE(isa != Isa(-1), "SPIKENODE_ISA must be baseline, avx2 or avx512, got '", name,
                    "'");
  TORCH_CHECK(isa <= best, "SPIKENODE_ISA=", name, ": this machine or build does not have it");
  return isa;
}

Isa chosen_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

const Kernels& kernels(const KernelFamily& family) {
  switch (chosen_isa()) {
    case Isa::avx512:
      return *family.avx512;
    case Isa::avx2:
      return *family.avx2;
    default:
      return *family.baseline;
  }
}

/// Results above this size go past the caches: they leave the near ones before anyone reads them. A
/// constant, because a virtual machine may report the host's caches as its own.
constexpr long large_result = 4L << 20;

/// One neuron's whole time stays on one thread; the pieces start at cache lines. `run` takes the
/// range of neurons.
template <class Run>
void spread(long steps, long neurons, long element_size, const Run& run) {
  constexpr long work_per_thread = 32 * 1024;
  const long line = 64 / element_size;
  const long lines = (neurons + line - 1) / line;
  const long grain = std::max(1L, work_per_thread / line / std::max(steps, 1L));
  at::parallel_for(0, lines, grain, [&](int64_t begin, int64_t end) {
    run(begin * line, std::min(neurons, end * line));
  });
}

constexpr long element_sizes[storage_count] = {4, 8, 2, 2};

/// What the plain kernels do not know.
template <class Call>
bool is_general(const Call& call) {
  return call.tau.data != nullptr || call.rate.data != nullptr || call.threshold.data != nullptr ||
         !call.parameters.spiking || call.storage > Storage::Double;
}

}  // namespace

const char* isa() {
  static const char* const names[] = {"baseline", "avx2", "avx512"};
  return names[static_cast<int>(chosen_isa())];
}

void forward(const KernelFamily& family, const ForwardCall& call) {
  const Kernels& all = kernels(family);
  const int storage = static_cast<int>(call.storage);
  const long size = element_sizes[storage];
  const long written = 1 + (call.h_seq != nullptr) + (call.v_seq != nullptr);
  const bool past_caches = call.steps * call.neurons * written * size > large_result;
  const bool general = is_general(call);
  spread(call.steps, call.neurons, size, [&](long begin, long end) {
    general ? all.general_forward[storage](call, begin, end)
            : all.forward[storage](call, begin, end, past_caches);
  });
}

void backward(const KernelFamily& family, const BackwardCall& call) {
  const Kernels& all = kernels(family);
  const int storage = static_cast<int>(call.storage);
  const int surrogate = static_cast<int>(call.parameters.surrogate);
  const long size = element_sizes[storage];
  const bool past_caches =
      call.grad_x != nullptr && call.steps * call.neurons * size > large_result;
  const bool general =
      is_general(call) || call.grad_rate != nullptr || call.grad_threshold != nullptr;
  spread(call.steps, call.neurons, size, [&](long begin, long end) {
    general ? all.general_backward[storage](call, begin, end)
            : all.backward[storage][surrogate](call, begin, end, past_caches);
  });
}

}  // namespace cpu
}  // namespace spikenode
