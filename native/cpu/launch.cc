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

/// One neuron's whole time stays on one thread; the pieces start at cache lines.
template <class Call>
void spread(void (*kernel)(const Call&, long, long, bool), const Call& call, long element_size,
            long written) {
  constexpr long work_per_thread = 32 * 1024;
  const long line = 64 / element_size;
  const long lines = (call.neurons + line - 1) / line;
  const long grain = std::max(1L, work_per_thread / line / std::max(call.steps, 1L));
  const bool past_caches = call.steps * call.neurons * written * element_size > large_result;
  at::parallel_for(0, lines, grain, [&](int64_t begin, int64_t end) {
    kernel(call, begin * line, std::min(call.neurons, end * line), past_caches);
  });
}

}  // namespace

const char* isa() {
  static const char* const names[] = {"baseline", "avx2", "avx512"};
  return names[static_cast<int>(chosen_isa())];
}

void forward(const KernelFamily& family, const ForwardCall& call, bool is_double) {
  spread(kernels(family).forward[is_double], call, is_double ? 8 : 4,
         1 + (call.h_seq != nullptr) + (call.v_seq != nullptr));
}

void backward(const KernelFamily& family, const BackwardCall& call, bool is_double) {
  const int surrogate = static_cast<int>(call.parameters.surrogate);
  spread(kernels(family).backward[is_double][surrogate], call, is_double ? 8 : 4,
         call.grad_x != nullptr);
}

}  // namespace cpu
}  // namespace spikenode
