// The list of surrogates: a new one is a line here and a struct of that name in neuron/surrogate.h.
#pragma once

// X(name, number of parameters, first parameter's name, limits and default, second's)
#define SPIKENODE_SURROGATES(X)                                           \
  X(Sigmoid, 1, "alpha", positive, 4., "", any, 0.)                       \
  X(ATan, 1, "alpha", positive, 2., "", any, 0.)                          \
  X(PiecewiseQuadratic, 1, "alpha", positive, 1., "", any, 0.)            \
  X(PiecewiseExp, 1, "alpha", positive, 1., "", any, 0.)                  \
  X(SoftSign, 1, "alpha", positive, 2., "", any, 0.)                      \
  X(SuperSpike, 1, "alpha", positive, 1., "", any, 0.)                    \
  X(Erf, 1, "alpha", positive, 2., "", any, 0.)                           \
  X(NonzeroSignLogAbs, 1, "alpha", positive, 1., "", any, 0.)             \
  X(PiecewiseLeakyReLU, 2, "w", positive, 1., "c", any, .01)              \
  X(SquarewaveFourierSeries, 2, "n", terms, 2., "T_period", positive, 8.) \
  X(S2NN, 2, "alpha", positive, 4., "beta", positive, 1.)                 \
  X(QPseudoSpike, 1, "alpha", above_one, 2., "", any, 0.)                 \
  X(LeakyKReLU, 2, "leak", any, 0., "k", any, 1.)                         \
  X(FakeNumericalGradient, 1, "alpha", positive, .3, "", any, 0.)         \
  X(LogTailedReLU, 1, "alpha", any, 0., "", any, 0.)                      \
  X(Rect, 1, "alpha", positive, 1., "", any, 0.)                          \
  X(DeterministicPass, 0, "", any, 0., "", any, 0.)

namespace spikenode {

#define SPIKENODE_ENUMERATOR(name, ...) name,
enum class SurrogateKind { SPIKENODE_SURROGATES(SPIKENODE_ENUMERATOR) };
#undef SPIKENODE_ENUMERATOR

#define SPIKENODE_COUNT(...) +1
inline constexpr int surrogate_count = 0 SPIKENODE_SURROGATES(SPIKENODE_COUNT);
#undef SPIKENODE_COUNT

}  // namespace spikenode
