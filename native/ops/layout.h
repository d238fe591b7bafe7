// Sequences of any layout as rows: [T, N] with neurons adjacent and a stride between two steps.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace spikenode {

/// The strides of one step [*] in which a call computes: those of the input where it is dense.
struct StepLayout {
  std::vector<int64_t> sizes, strides;
  int64_t neurons;

  explicit StepLayout(const at::Tensor& x_seq);
  at::Tensor empty_state(const at::Tensor& like) const;
  at::Tensor empty_sequence(const at::Tensor& like, int64_t steps) const;
};

struct Rows {
  at::Tensor tensor;  ///< keeps the memory alive
  int64_t stride;     ///< between two steps; 0 where the tensor is expanded in time
};

/// A sequence [T, *] in the layout, without a copy where it has it or is expanded in time.
Rows rows(const at::Tensor& sequence, const StepLayout& layout);
/// A state [*] in the layout, without a copy where it has it.
at::Tensor state(const at::Tensor& tensor, const StepLayout& layout);

}  // namespace spikenode
