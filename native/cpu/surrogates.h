// Surrogates over rows of membranes, compiled apart from the neurons.
#pragma once

#include "neuron/math.h"
#include "neuron/surrogates.h"

namespace spikenode {
inline namespace SPIKENODE_ISA {

/// Of u = h - threshold for `count` membranes, with a threshold for each if `thresholds` is not
/// null.
template <class T>
struct SurrogateRows {
  using Row = void (*)(const double* parameters, const T* h, const T* thresholds, T threshold,
                       T* to, long count);
  Row derivative, primitive;
};

template <class T>
const SurrogateRows<T>& surrogate_rows(SurrogateKind kind);
template <>
const SurrogateRows<float>& surrogate_rows<float>(SurrogateKind kind);
template <>
const SurrogateRows<double>& surrogate_rows<double>(SurrogateKind kind);

}  // namespace SPIKENODE_ISA
}  // namespace spikenode
