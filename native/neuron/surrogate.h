// Surrogate gradients of the spike Θ(u), u = h - v_threshold. Each is one struct: its derivative,
// used in backward, and its primitive, which is the spike itself in the smooth mode.
#pragma once

#include "neuron/math.h"
#include "neuron/surrogates.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

/// σ(αu); derivative α σ(αu) (1 - σ(αu)).
template <class T>
struct Sigmoid {
  T alpha;
  SPIKENODE_INLINE explicit Sigmoid(const double* p) : alpha(T(p[0])) {}
  // In e = exp(-|αu|), which neither overflows nor cancels; relative error below 4 epsilon.
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R e = exp_of_negative<R>(-magnitude<R>(alpha * u));
    const R d = T(1) + e;
    return (alpha * e) / (d * d);
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R y = alpha * u;
    const R e = exp_of_negative<R>(-magnitude<R>(y));
    return select(y < R{}, e, splat<R>(T(1))) / (T(1) + e);
  }
};

/// atan(π/2 αu)/π + 1/2; derivative (α/2) / (1 + (π/2 αu)²) (Fang et al. 2021).
template <class T>
struct ATan {
  T half_alpha, slope;
  SPIKENODE_INLINE explicit ATan(const double* p)
      : half_alpha(T(p[0] / 2)), slope(T(1.5707963267948966 * p[0])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R y = slope * u;
    return half_alpha / (T(1) + y * y);
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    return atan_of<R>(slope * u) * T(.3183098861837907) + T(.5);
  }
};

/// Quadratic between -1/α and 1/α; derivative max(0, α - α²|u|) (Esser et al. 2016).
template <class T>
struct PiecewiseQuadratic {
  T alpha, square;
  SPIKENODE_INLINE explicit PiecewiseQuadratic(const double* p)
      : alpha(T(p[0])), square(T(p[0] * p[0])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R y = alpha - square * magnitude<R>(u);
    return select(y < R{}, R{}, y);
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R y = alpha * u;
    const R inside = (T(.5) + y) - (y * magnitude<R>(y)) * T(.5);
    return select(y < T(-1), R{}, select(y > T(1), splat<R>(T(1)), inside));
  }
};

/// Any of them, chosen at run time: for the smooth mode, which need not be fast.
template <class T>
struct AnySurrogate {
  SurrogateKind kind;
  const double* parameters;
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    switch (kind) {
#define SPIKENODE_CASE(name, ...) \
  case SurrogateKind::name:       \
    return name<T>(parameters).template derivative<R>(u);
      SPIKENODE_SURROGATES(SPIKENODE_CASE)
#undef SPIKENODE_CASE
    }
    return u;
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    switch (kind) {
#define SPIKENODE_CASE(name, ...) \
  case SurrogateKind::name:       \
    return name<T>(parameters).template primitive<R>(u);
      SPIKENODE_SURROGATES(SPIKENODE_CASE)
#undef SPIKENODE_CASE
    }
    return u;
  }
};

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
