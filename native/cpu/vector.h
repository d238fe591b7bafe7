// Vectors in memory: whole and partial ones, of the type that is computed with or of 16 bits.
#pragma once

#include "neuron/math.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

template <class T>
using Vector = typename VectorOf<T>::type;
template <class T>
constexpr long lanes = SPIKENODE_VECTOR_BYTES / sizeof(T);

/// A whole vector where count is 0, else its first count lanes.
template <class T>
SPIKENODE_INLINE Vector<T> read(const T* from, long i, long count) {
  Vector<T> value{};
  if (count == 0) {
    __builtin_memcpy(&value, from + i, sizeof value);
  } else {
    __builtin_memcpy(&value, from + i, count * sizeof(T));
  }
  return value;
}
template <class T>
SPIKENODE_INLINE void write(T* to, long i, long count, Vector<T> value) {
  if (count == 0) {
    __builtin_memcpy(to + i, &value, sizeof value);
  } else {
    __builtin_memcpy(to + i, &value, count * sizeof(T));
  }
}

typedef unsigned short Halves __attribute__((vector_size(SPIKENODE_VECTOR_BYTES / 2)));

SPIKENODE_INLINE Floats widen(BFloat16, Ints bits) { return (Floats)(bits << 16); }
SPIKENODE_INLINE Floats widen(Float16, Ints bits) {
  // The exponent moves by a multiplication, which is exact and right for subnormal numbers too.
  const Ints shifted = (bits & 0x7fff) << 13;
  const Ints special = (bits & 0x7c00) == 0x7c00;
  const Floats moved = (Floats)shifted * 0x1p112f;
  const Ints number = special ? (shifted | 0x7f800000) : (Ints)moved;
  return (Floats)(number | ((bits & 0x8000) << 16));
}
// To the nearest, ties to even; a NaN becomes the quiet one.
SPIKENODE_INLINE Ints narrow(BFloat16, Floats value) {
  const Ints bits = (Ints)value;
  const Ints rounded = ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) & 0xffff;
  return value == value ? rounded : Ints{} + 0x7fc0;
}
SPIKENODE_INLINE Ints narrow(Float16, Floats value) {
  const Ints sign = ((Ints)value >> 16) & 0x8000;
  const Ints bits = (Ints)value & 0x7fffffff;
  const Floats size = (Floats)bits;
  const Ints normal = (bits - (112 << 23) + 0xfff + ((bits >> 13) & 1)) >> 13;
  // Adding 1/2 rounds at the last place of a subnormal binary16.
  const Ints subnormal = (Ints)(size + .5f) - 0x3f000000;
  const Ints number = size < 0x1p-14f ? subnormal : size < 65520.f ? normal : Ints{} + 0x7c00;
  return (value == value ? number : Ints{} + 0x7e00) | sign;
}

/// As the type that S is computed in.
template <class S>
SPIKENODE_INLINE Vector<typename ComputeOf<S>::type> read_as(const S* from, long i, long count) {
  if constexpr (sizeof(S) > 2) {
    return read(from, i, count);
  } else {
    Halves bits{};
    if (count == 0) {
      __builtin_memcpy(&bits, from + i, sizeof bits);
    } else {
      __builtin_memcpy(&bits, from + i, count * sizeof(S));
    }
    return widen(S{}, __builtin_convertvector(bits, Ints));
  }
}
template <class S>
SPIKENODE_INLINE void write_as(S* to, long i, long count,
                               Vector<typename ComputeOf<S>::type> value) {
  if constexpr (sizeof(S) > 2) {
    write(to, i, count, value);
  } else {
    const Halves bits = __builtin_convertvector(narrow(S{}, value), Halves);
    if (count == 0) {
      __builtin_memcpy(to + i, &bits, sizeof bits);
    } else {
      __builtin_memcpy(to + i, &bits, count * sizeof(S));
    }
  }
}

/// Calls body(offset, count) for whole vectors (count 0), then for the rest.
template <class T, class Body>
SPIKENODE_INLINE void each_vector(long begin, long end, const Body& body) {
  long i = begin;
  for (; i + lanes<T> <= end; i += lanes<T>) body(i, 0L);
  if (i < end) body(i, end - i);
}

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
