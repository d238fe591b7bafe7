// Fire and reset, shared by every neuron with one membrane: h is the charged membrane, s the spike.
#pragma once

#include "neuron/math.h"
#include "neuron/parameters.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

/// P is the threshold's type: a number for all neurons, or a vector with one for each.
template <class P, bool hard>
struct Reset {
  using T = typename NumberOf<P>::type;
  P threshold;
  T target;
  bool detach;
  SPIKENODE_INLINE explicit Reset(const NeuronParameters& p) : Reset(p, T(p.v_threshold)) {}
  SPIKENODE_INLINE Reset(const NeuronParameters& p, P threshold)
      : threshold(threshold), target(T(p.v_reset)), detach(p.detach_reset) {}

  /// Θ(h - v_threshold): equality fires, NaN does not.
  template <class R>
  SPIKENODE_INLINE R fire(R h) const {
    return select(h - threshold >= R{}, splat<R>(T(1)), R{});
  }

  /// The membrane after the reset: arithmetic, not a select, so an infinite h gives NaN.
  template <class R>
  SPIKENODE_INLINE R apply(R h, R s) const {
    if constexpr (hard) {
      return s * target + (T(1) - s) * h;
    } else {
      return h - s * threshold;
    }
  }

  /// Gradient at h: grad_s arrives at the spike, grad_v at the membrane after the reset, slope is
  /// the surrogate's derivative at h - v_threshold.
  template <class R>
  SPIKENODE_INLINE R adjoint(R h, R s, R slope, R grad_s, R grad_v) const {
    if constexpr (hard) {
      R d = T(1) - s;
      if (!detach) d = d + (target - h) * slope;
      return grad_s * slope + grad_v * d;
    } else {
      if (detach) return grad_s * slope + grad_v;
      return grad_s * slope + grad_v * (T(1) - threshold * slope);
    }
  }

  /// What a step adds to the gradient of the threshold; the same for both resets.
  template <class R>
  SPIKENODE_INLINE R grad_threshold(R s, R grad_h, R grad_v) const {
    return grad_v * (T(1) - s) - grad_h;
  }
};

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
