// Surrogate gradients of the spike Θ(u), u = h - v_threshold. Each is one struct: its derivative,
// used in backward, and its primitive, which is the spike itself in the smooth mode. One without a
// primitive says so, and the operators refuse its smooth mode. Formulas are those of SpikingJelly.
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

/// e^(αu)/2 below 0, 1 - e^(-αu)/2 above; derivative (α/2) e^(-α|u|).
template <class T>
struct PiecewiseExp {
  T alpha;
  SPIKENODE_INLINE explicit PiecewiseExp(const double* p) : alpha(T(p[0])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    return exp_of_negative<R>(-alpha * magnitude<R>(u)) * (alpha * T(.5));
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R half = exp_of_negative<R>(-alpha * magnitude<R>(u)) * T(.5);
    return select(u < R{}, half, T(1) - half);
  }
};

/// (αu / (1 + |αu|) + 1) / 2; derivative 1 / (2α (1/α + |u|)²).
template <class T>
struct SoftSign {
  T alpha;
  SPIKENODE_INLINE explicit SoftSign(const double* p) : alpha(T(p[0])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R d = T(1) / alpha + magnitude<R>(u);
    return T(1) / (d * d * (T(2) * alpha));
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R y = alpha * u;
    return (y / (T(1) + magnitude<R>(y)) + T(1)) * T(.5);
  }
};

/// Derivative α / (1 + |u|)², with u as it is (Zenke and Ganguli 2018 scale u instead); no
/// primitive.
template <class T>
struct SuperSpike {
  static constexpr bool has_primitive = false;
  T alpha;
  SPIKENODE_INLINE explicit SuperSpike(const double* p) : alpha(T(p[0])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R d = magnitude<R>(u) + T(1);
    return alpha / (d * d);
  }
};

/// erfc(-αu) / 2; derivative (α/√π) e^(-α²u²).
template <class T>
struct Erf {
  T alpha, peak;
  SPIKENODE_INLINE explicit Erf(const double* p)
      : alpha(T(p[0])), peak(T(p[0] * .5641895835477563)) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R y = alpha * u;
    return exp_of_negative<R>(-(y * y)) * peak;
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    return erfc_of<R>(-alpha * u) * T(.5);
  }
};

/// sgn(u) ln(α|u| + 1), with sgn(0) = 1; derivative 1 / (1/α + |u|).
template <class T>
struct NonzeroSignLogAbs {
  T alpha;
  SPIKENODE_INLINE explicit NonzeroSignLogAbs(const double* p) : alpha(T(p[0])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    return T(1) / (T(1) / alpha + magnitude<R>(u));
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R y = log_of<R>(alpha * magnitude<R>(u) + T(1));
    return select(u < R{}, -y, y);
  }
};

/// u/(2w) + 1/2 within w of 0, outside of it a line of slope c; derivative 1/(2w) for |u| < w, else
/// c.
template <class T>
struct PiecewiseLeakyReLU {
  T w, c, slope;
  SPIKENODE_INLINE explicit PiecewiseLeakyReLU(const double* p)
      : w(T(p[0])), c(T(p[1])), slope(T(1 / (2 * p[0]))) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    return select(magnitude<R>(u) < w, splat<R>(slope), splat<R>(c));
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R line = u * c;
    const R outside = select(u < R{}, line + c * w, line + (T(1) - c * w));
    return select(magnitude<R>(u) <= w, u * slope + T(.5), outside);
  }
};

/// 1/2 + (2/π) Σ sin((2i-1) 2πu/T)/(2i-1) over i = 1 to n-1; derivative (4/T) Σ cos((2i-1) 2πu/T).
template <class T>
struct SquarewaveFourierSeries {
  int n;
  T frequency, scale;
  SPIKENODE_INLINE explicit SquarewaveFourierSeries(const double* p)
      : n(int(p[0])), frequency(T(6.283185307179586 / p[1])), scale(T(4 / p[1])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    R sum{};
    for (int i = 1; i < n; ++i) sum = sum + cos_of<R>(u * (T(2 * i - 1) * frequency));
    return sum * scale;
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    R sum{};
    for (int i = 1; i < n; ++i)
      sum = sum + sin_of<R>(u * (T(2 * i - 1) * frequency)) / T(2 * i - 1);
    return sum * T(.6366197723675814) + T(.5);
  }
};

/// Below 0 σ(αu), else β ln(|u + 1| + 1e-5) + 1/2; derivative α σ(αu) (1 - σ(αu)) below 0, else
/// β / (u + 1) (Suetake et al. 2022).
template <class T>
struct S2NN {
  Sigmoid<T> below;
  T beta;
  SPIKENODE_INLINE explicit S2NN(const double* p) : below(p), beta(T(p[1])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    return select(u < R{}, below.template derivative<R>(u), beta / (u + T(1)));
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R above = log_of<R>(magnitude<R>(u + T(1)) + T(1e-5)) * beta + T(.5);
    return select(u < R{}, below.template primitive<R>(u), above);
  }
};

/// Θ(u) - sgn(u) (1 + 2/(α-1) |u|)^(1-α) / 2; derivative (1 + 2/(α-1) |u|)^(-α) (Herranz-Celotti
/// and Rouat 2022).
template <class T>
struct QPseudoSpike {
  T alpha, factor;
  SPIKENODE_INLINE explicit QPseudoSpike(const double* p)
      : alpha(T(p[0])), factor(T(2 / (p[0] - 1))) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R base = T(1) + magnitude<R>(u) * factor;
    if (alpha == T(2)) return T(1) / (base * base);
    return pow_of<R>(base, -alpha);
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R tail = pow_of<R>(T(1) + magnitude<R>(u) * factor, T(1) - alpha) * T(.5);
    return select(u < R{}, tail, T(1) - tail);
  }
};

/// k u for u >= 0, else leak u; the derivative is the slope.
template <class T>
struct LeakyKReLU {
  T leak, k;
  SPIKENODE_INLINE explicit LeakyKReLU(const double* p) : leak(T(p[0])), k(T(p[1])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    return select(u >= R{}, splat<R>(k), splat<R>(leak));
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    return u * derivative<R>(u);
  }
};

/// Derivative min(1/|u|, α), which is α at 0; no primitive.
template <class T>
struct FakeNumericalGradient {
  static constexpr bool has_primitive = false;
  T alpha;
  SPIKENODE_INLINE explicit FakeNumericalGradient(const double* p) : alpha(T(p[0])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R y = T(1) / magnitude<R>(u);
    return select(y > alpha, splat<R>(alpha), y);
  }
};

/// α u for u <= 0, u up to 1, ln(u) + 1 above; the derivative is α, 1 or 1/u (Cai et al. 2017).
template <class T>
struct LogTailedReLU {
  T alpha;
  SPIKENODE_INLINE explicit LogTailedReLU(const double* p) : alpha(T(p[0])) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    const R positive = select(u > T(1), T(1) / u, splat<R>(T(1)));
    return select(u > R{}, positive, splat<R>(alpha));
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R tail = log_of<R>(select(u > T(1), u, splat<R>(T(1)))) + T(1);
    return select(u > R{}, select(u > T(1), tail, u), u * alpha);
  }
};

/// αu + 1/2 cut to 0 and 1; derivative α for |u| < 1/(2α), else 0.
template <class T>
struct Rect {
  T alpha, width;
  SPIKENODE_INLINE explicit Rect(const double* p) : alpha(T(p[0])), width(T(1 / (2 * p[0]))) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R u) const {
    return select(magnitude<R>(u) < width, splat<R>(alpha), R{});
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    const R y = u * alpha + T(.5);
    return select(y < R{}, R{}, select(y > T(1), splat<R>(T(1)), y));
  }
};

/// u itself; derivative 1.
template <class T>
struct DeterministicPass {
  SPIKENODE_INLINE explicit DeterministicPass(const double*) {}
  template <class R>
  SPIKENODE_INLINE R derivative(R) const {
    return splat<R>(T(1));
  }
  template <class R>
  SPIKENODE_INLINE R primitive(R u) const {
    return u;
  }
};

template <class Surrogate>
constexpr bool has_primitive(decltype(Surrogate::has_primitive)*) {
  return Surrogate::has_primitive;
}
template <class Surrogate>
constexpr bool has_primitive(...) {
  return true;
}

/// The primitive; the operators let no surrogate without one come here.
template <class Surrogate, class R>
SPIKENODE_INLINE R primitive_of(const Surrogate& surrogate, R u) {
  if constexpr (has_primitive<Surrogate>(nullptr)) {
    return surrogate.template primitive<R>(u);
  } else {
    return u;
  }
}

#if defined(__CUDACC__)

/// Any of them, chosen at run time: where being fast matters less than the number of kernels.
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
    return primitive_of<name<T>, R>(name<T>(parameters), u);
      SPIKENODE_SURROGATES(SPIKENODE_CASE)
#undef SPIKENODE_CASE
    }
    return u;
  }
};

#endif

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
