// Leaky integrate-and-fire, with z = v_reset (0 for a soft reset):
//   decay_input: h = v + (x - (v - z)) / tau, else h = v - (v - z) / tau + x.
#pragma once

#include "neuron/math.h"
#include "neuron/parameters.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

template <class T>
struct Lif {
  T tau, reciprocal, rest;
  bool decay_input, exact;
  SPIKENODE_INLINE explicit Lif(const NeuronParameters& p)
      : tau(T(p.tau)),
        reciprocal(T(1) / T(p.tau)),
        rest(p.hard_reset ? T(p.v_reset) : T(0)),
        decay_input(p.decay_input),
        exact(is_power_of_two(p.tau)) {}

  template <class R>
  SPIKENODE_INLINE R charge(R x, R v) const {
    return decay_input ? v + over_tau<R>(x - (v - rest)) : (v - over_tau<R>(v - rest)) + x;
  }
  template <class R>
  SPIKENODE_INLINE R grad_x(R grad_h) const {
    return decay_input ? grad_h * reciprocal : grad_h;
  }
  template <class R>
  SPIKENODE_INLINE R grad_v(R grad_h) const {
    return grad_h * (T(1) - reciprocal);
  }

 private:
  // Dividing by a power of two is multiplying by its reciprocal, to the bit.
  template <class R>
  SPIKENODE_INLINE R over_tau(R x) const {
    return exact ? x * reciprocal : x / tau;
  }
  static SPIKENODE_INLINE bool is_power_of_two(double x) {
    if (x > 1e9) return false;
    while (x > 1) x /= 2;
    return x == 1;
  }
};

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
