// The vocabulary of the neuron and surrogate headers: arithmetic and comparison operators, and the
// functions below. R is a real number on the device and a whole vector register on the host; each
// function has one definition for each. Numbers of 16 bits are only stored, never computed with. No
// C++ standard header: the file is compiled once for every instruction set, and an inline library
// function would leak from one into another.
#pragma once

#if defined(__CUDACC__)
#define SPIKENODE_INLINE __device__ __forceinline__
#else
#define SPIKENODE_INLINE inline __attribute__((always_inline))
#endif

// Names the inline namespace of everything that is compiled more than once.
#if !defined(SPIKENODE_ISA)
#define SPIKENODE_ISA host
#endif

namespace spikenode {

/// A number in memory: bfloat16 or IEEE binary16. Computed with in float.
struct BFloat16 {
  unsigned short bits;
};
struct Float16 {
  unsigned short bits;
};

inline namespace SPIKENODE_ISA {

/// What a number of type S in memory is computed in.
template <class S>
struct ComputeOf {
  using type = S;
};
template <>
struct ComputeOf<BFloat16> {
  using type = float;
};
template <>
struct ComputeOf<Float16> {
  using type = float;
};

/// The type of one number in P, which is a number or a vector of them.
template <class P>
struct NumberOf {
  using type = P;
};

#if defined(__CUDACC__)

template <class R, class T>
SPIKENODE_INLINE R splat(T value) {
  return value;
}
template <class R>
SPIKENODE_INLINE R select(bool condition, R yes, R no) {
  return condition ? yes : no;
}
template <class R>
SPIKENODE_INLINE R magnitude(R x) {
  return x < 0 ? -x : x;
}
#define SPIKENODE_FUNCTION(name, of_float, of_double) \
  template <class R>                                  \
  SPIKENODE_INLINE R name(R x) {                      \
    if constexpr (sizeof(R) == 4) {                   \
      return of_float(x);                             \
    } else {                                          \
      return of_double(x);                            \
    }                                                 \
  }
SPIKENODE_FUNCTION(exp_of_negative, expf, ::exp)
SPIKENODE_FUNCTION(atan_of, atanf, ::atan)
SPIKENODE_FUNCTION(cos_of, cosf, ::cos)
SPIKENODE_FUNCTION(sin_of, sinf, ::sin)
SPIKENODE_FUNCTION(log_of, logf, ::log)
SPIKENODE_FUNCTION(erfc_of, erfcf, ::erfc)
#undef SPIKENODE_FUNCTION
template <class R>
SPIKENODE_INLINE R pow_of(R x, R exponent) {
  if constexpr (sizeof(R) == 4) {
    return powf(x, exponent);
  } else {
    return ::pow(x, exponent);
  }
}

#else

#if defined(__AVX512F__)
#define SPIKENODE_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define SPIKENODE_VECTOR_BYTES 32
#else
#define SPIKENODE_VECTOR_BYTES 16
#endif

typedef float Floats __attribute__((vector_size(SPIKENODE_VECTOR_BYTES)));
typedef double Doubles __attribute__((vector_size(SPIKENODE_VECTOR_BYTES)));
typedef int Ints __attribute__((vector_size(SPIKENODE_VECTOR_BYTES)));
typedef long long Longs __attribute__((vector_size(SPIKENODE_VECTOR_BYTES)));

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  using type = Floats;
};
template <>
struct VectorOf<double> {
  using type = Doubles;
};
template <class R>
struct Element;
template <>
struct Element<Floats> {
  using type = float;
  using Bits = Ints;
};
template <>
struct Element<Doubles> {
  using type = double;
  using Bits = Longs;
};
template <>
struct NumberOf<Floats> {
  using type = float;
};
template <>
struct NumberOf<Doubles> {
  using type = double;
};

// Subtracting zero keeps -0 and costs nothing, where adding to zero would not.
template <class R, class T>
SPIKENODE_INLINE R splat(T value) {
  return static_cast<typename Element<R>::type>(value) - R{};
}
template <class M, class R>
SPIKENODE_INLINE R select(M mask, R yes, R no) {
  return mask ? yes : no;
}

template <class R>
SPIKENODE_INLINE R magnitude(R x) {
  using Bits = typename Element<R>::Bits;
  return (R)((Bits)x & ~(Bits)splat<R>(-0.));
}

// Range reduction to |r| <= ln(2)/2 and a Taylor polynomial, without fused operations, so that
// every instruction set gives the same bits. Below the clamp the result would be subnormal.
template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr float clamp = -86.f, round = 12582912.f;
  static constexpr float log2_e = 1.44269504f, ln2_high = .693359375f, ln2_low = -2.12194440e-4f;
  static constexpr int mantissa = 23, degree = 6;
};
template <>
struct ExpConstants<double> {
  static constexpr double clamp = -707., round = 6755399441055744.;
  static constexpr double log2_e = 1.4426950408889634, ln2_high = .693145751953125,
                          ln2_low = 1.42860682030941723212e-6;
  static constexpr int mantissa = 52, degree = 12;
};
static constexpr double inverse_factorials[] = {
    1.,        1.,         1. / 2,      1. / 6,       1. / 24,       1. / 120,      1. / 720,
    1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800, 1. / 39916800, 1. / 479001600};

/// exp(x) for x <= 0, within 2 ulp where the result is normal.
template <class R>
SPIKENODE_INLINE R exp_of_negative(R x) {
  using T = typename Element<R>::type;
  using Bits = typename Element<R>::Bits;
  using C = ExpConstants<T>;
  x = select(x < C::clamp, splat<R>(C::clamp), x);
  const R shifted = x * C::log2_e + C::round;  // the integer part now sits in the low bits
  const R whole = shifted - C::round;
  const R rest = (x - whole * C::ln2_high) - whole * C::ln2_low;
  // Even and odd powers apart: two short chains of dependent operations instead of a long one.
  const R square = rest * rest;
  R even = splat<R>(T(inverse_factorials[C::degree]));
  R odd = splat<R>(T(inverse_factorials[C::degree - 1]));
#pragma GCC unroll 16
  for (int i = C::degree - 2; i > 0; i -= 2) {
    even = even * square + T(inverse_factorials[i]);
    odd = odd * square + T(inverse_factorials[i - 1]);
  }
  const R sum = (even * square + T(1)) + odd * rest;
  return (R)((Bits)sum + ((Bits)shifted << C::mantissa));
}

// Lane by lane: asked for by the smooth mode and by surrogates that are seldom used.
#define SPIKENODE_FUNCTION(name, of_float, of_double)      \
  template <class R>                                       \
  SPIKENODE_INLINE R name(R x) {                           \
    using T = typename Element<R>::type;                   \
    for (unsigned i = 0; i < sizeof(R) / sizeof(T); ++i) { \
      if constexpr (sizeof(T) == 4) {                      \
        x[i] = of_float(x[i]);                             \
      } else {                                             \
        x[i] = of_double(x[i]);                            \
      }                                                    \
    }                                                      \
    return x;                                              \
  }
SPIKENODE_FUNCTION(atan_of, __builtin_atanf, __builtin_atan)
SPIKENODE_FUNCTION(cos_of, __builtin_cosf, __builtin_cos)
SPIKENODE_FUNCTION(sin_of, __builtin_sinf, __builtin_sin)
SPIKENODE_FUNCTION(log_of, __builtin_logf, __builtin_log)
SPIKENODE_FUNCTION(erfc_of, __builtin_erfcf, __builtin_erfc)
#undef SPIKENODE_FUNCTION
template <class R>
SPIKENODE_INLINE R pow_of(R x, typename Element<R>::type exponent) {
  using T = typename Element<R>::type;
  for (unsigned i = 0; i < sizeof(R) / sizeof(T); ++i) {
    if constexpr (sizeof(T) == 4) {
      x[i] = __builtin_powf(x[i], exponent);
    } else {
      x[i] = __builtin_pow(x[i], exponent);
    }
  }
  return x;
}

#endif

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
