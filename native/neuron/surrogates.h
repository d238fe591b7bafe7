// The list of surrogates: a new one is a line here and a struct of that name in neuron/surrogate.h.
#pragma once

// X(name, number of parameters, first parameter's name and default, second's)
#define SPIKENODE_SURROGATES(X)      \
  X(Sigmoid, 1, "alpha", 4., "", 0.) \
  X(ATan, 1, "alpha", 2., "", 0.)    \
  X(PiecewiseQuadratic, 1, "alpha", 1., "", 0.)

namespace spikenode {

#define SPIKENODE_ENUMERATOR(name, ...) name,
enum class SurrogateKind { SPIKENODE_SURROGATES(SPIKENODE_ENUMERATOR) };
#undef SPIKENODE_ENUMERATOR

#define SPIKENODE_COUNT(...) +1
inline constexpr int surrogate_count = 0 SPIKENODE_SURROGATES(SPIKENODE_COUNT);
#undef SPIKENODE_COUNT

}  // namespace spikenode
