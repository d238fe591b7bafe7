// Integrate-and-fire: h = v + x.
#pragma once

#include "neuron/math.h"
#include "neuron/parameters.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

template <class P>
struct IntegrateFire {
  SPIKENODE_INLINE explicit IntegrateFire(const NeuronParameters&) {}
  SPIKENODE_INLINE IntegrateFire(const NeuronParameters&, P, P) {}

  template <class R>
  SPIKENODE_INLINE R charge(R x, R v) const {
    return v + x;
  }
  template <class R>
  SPIKENODE_INLINE R grad_x(R grad_h) const {
    return grad_h;
  }
  template <class R>
  SPIKENODE_INLINE R grad_v(R grad_h) const {
    return grad_h;
  }
  /// There is no rate.
  template <class R>
  SPIKENODE_INLINE R grad_rate(R, R, R) const {
    return R{};
  }
};

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
