// Integrate-and-fire: h = v + x.
#pragma once

#include "neuron/math.h"
#include "neuron/parameters.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

template <class T>
struct IntegrateFire {
  SPIKENODE_INLINE explicit IntegrateFire(const NeuronParameters&) {}

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
};

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
