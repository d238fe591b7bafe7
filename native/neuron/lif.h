// Leaky integrate-and-fire, with z = v_reset (0 for a soft reset):
//   decay_input: h = v + (x - (v - z)) / tau, else h = v - (v - z) / tau + x.
// The parametric neuron is the same with a factor r in place of the division by tau.
#pragma once

#include "neuron/math.h"
#include "neuron/parameters.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

/// P is a number for all neurons, or a vector with one for each.
template <class P>
struct Lif {
  using T = typename NumberOf<P>::type;
  P tau, rate;
  T rest;
  bool decay_input, multiply;
  // Dividing by a power of two is multiplying by its reciprocal, to the bit.
  SPIKENODE_INLINE explicit Lif(const NeuronParameters& p)
      : Lif(p, T(p.tau), p.multiply ? T(p.rate) : T(1) / T(p.tau)) {
    multiply = p.multiply || is_power_of_two(p.tau);
  }
  SPIKENODE_INLINE Lif(const NeuronParameters& p, P tau, P rate)
      : tau(tau),
        rate(rate),
        rest(p.hard_reset ? T(p.v_reset) : T(0)),
        decay_input(p.decay_input),
        multiply(p.multiply) {}

  template <class R>
  SPIKENODE_INLINE R charge(R x, R v) const {
    return decay_input ? v + leak<R>(x - (v - rest)) : (v - leak<R>(v - rest)) + x;
  }
  template <class R>
  SPIKENODE_INLINE R grad_x(R grad_h) const {
    return decay_input ? grad_h * rate : grad_h;
  }
  template <class R>
  SPIKENODE_INLINE R grad_v(R grad_h) const {
    return grad_h * (T(1) - rate);
  }
  /// What a step adds to the gradient of the rate r; with decay_input still to be divided by r.
  template <class R>
  SPIKENODE_INLINE R grad_rate(R grad_h, R h, R v) const {
    return grad_h * (decay_input ? h - v : rest - v);
  }

 private:
  template <class R>
  SPIKENODE_INLINE R leak(R x) const {
    return multiply ? x * rate : x / tau;
  }
  static SPIKENODE_INLINE bool is_power_of_two(double x) {
    if (x > 1e9) return false;
    while (x > 1) x /= 2;
    return x == 1;
  }
};

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
